"""Capacity: whether the tasks of an instance have room elsewhere."""
