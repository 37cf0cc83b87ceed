"""The simulated world: its clock, its actors, and the invariants that it checks."""
