"""The state that is kept between runs."""
