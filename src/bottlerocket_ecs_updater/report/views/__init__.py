"""Text and JSON for the commands that look at a cluster."""
