"""Many clusters that share a state store: promotion between stages, waves, and the page of all clusters."""
