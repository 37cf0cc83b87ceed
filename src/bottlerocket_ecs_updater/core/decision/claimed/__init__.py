"""Instances with an update in progress: the next step of each."""
