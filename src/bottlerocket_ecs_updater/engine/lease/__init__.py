"""The lease that lets one run act at a time."""
