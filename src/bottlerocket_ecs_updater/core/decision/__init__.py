"""What to do next with each instance."""
