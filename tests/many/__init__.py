"""Many clusters that share a state store: promotion from stage to stage, waves, the page over all of them."""
