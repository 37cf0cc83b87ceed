"""Reads the state of the cluster and its hosts: only what is due, in batches."""
