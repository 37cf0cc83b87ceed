"""The request to stop a run."""

from __future__ import annotations


class Stop:
    """A stop request: signal handlers set it, the loop reads it."""

    def __init__(self) -> None:
        self.why = ""

    def request(self, why: str) -> None:
        """Ask the run to stop acting and to exit."""
        self.why = self.why or why
