"""Shared by tests: builders, and a run over a simulated world. It contains no tests."""
