"""Looks at the cluster: what is due, in batches."""
