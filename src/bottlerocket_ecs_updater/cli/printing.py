"""Prints what a command answers, at once: somebody may read along."""

from __future__ import annotations


def print_line(text: str) -> None:
    """Print to stdout."""
    print(text, flush=True)
