"""Prints the output of commands. Each line is flushed, so that a person can follow it."""

from __future__ import annotations


def print_line(text: str) -> None:
    """Print to stdout."""
    print(text, flush=True)
