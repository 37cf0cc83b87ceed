"""Calls that AWS may deny: once one is denied, it is not made again in the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import Denied, NotFound, UpdaterError

T = TypeVar("T")


class DeniableCalls:
    """Makes the calls of looks, and remembers which of them AWS denied in this run."""

    def __init__(self, known: RunState) -> None:
        self._known = known
        self._denied: dict[str, UpdaterError] = {}

    @property
    def first_denial(self) -> UpdaterError | None:
        """The first denial in this run; None if there was none."""
        return next(iter(self._denied.values()), None)

    def ask(self, what: str, question: Callable[[], T], *, hosts_denied: bool = False) -> T | None:
        """Make a call; None if AWS denies it. With `hosts_denied`, it means that no results can be read."""
        if what in self._denied:
            return None
        try:
            return question()
        except (Denied, NotFound) as problem:
            self._denied[what] = problem
            self._known.block_denied(problem, hosts_denied=hosts_denied)
            return None
