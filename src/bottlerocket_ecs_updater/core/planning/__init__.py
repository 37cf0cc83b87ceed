"""Plans and forecasts: what a run would do, and how long it would take."""
