"""The decision: what to do next with each instance."""
