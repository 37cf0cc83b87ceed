"""Hundreds of generated scenarios, each checked against every promise."""
