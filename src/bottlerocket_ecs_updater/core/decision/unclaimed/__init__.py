"""Instances that no update is in progress on: eligible, and first."""
