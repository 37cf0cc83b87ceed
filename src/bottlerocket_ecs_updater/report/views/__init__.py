"""What is shown of a cluster outside of a run."""
