"""What the events of a run amount to."""
