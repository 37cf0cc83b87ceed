"""Instances that an update is in progress on: its next step."""
