"""Instances without an update in progress: which are eligible, and in which order."""
