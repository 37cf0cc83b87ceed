"""Whether the tasks of an instance fit elsewhere."""
