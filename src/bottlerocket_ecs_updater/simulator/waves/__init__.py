"""Waves over several simulated clusters: the real state machine on a local interpreter, with real processes."""
