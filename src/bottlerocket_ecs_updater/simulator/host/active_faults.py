"""The faults of one host, and how often each has struck."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.faults import Fault

F = TypeVar("F")


class ActiveFaults:
    """A host's faults by kind, with how often each will still strike."""

    def __init__(self, faults: Iterable[Fault], clock: WorldClock) -> None:
        self._clock = clock
        self._born = clock.now()
        self._faults: dict[type[object], list[tuple[int, Fault]]] = defaultdict(list)
        self._struck: Counter[int] = Counter()
        for place, fault in enumerate(faults):
            self._faults[type(fault)].append((place, fault))

    def begins_at(self, at: timedelta) -> datetime:
        """The time of a fault's `at`."""
        return self._born + at

    def all(self, kind: type[F]) -> list[F]:
        """All faults of a kind, active or not."""
        return [fault for _, fault in self._faults.get(kind, ()) if isinstance(fault, kind)]

    def active(self, kind: type[F], suits: Callable[[F], bool] = lambda _: True) -> F | None:
        """The first active fault of a kind, without counting it as struck; None if there is none."""
        return next((fault for _, fault in self._candidates(kind, suits)), None)

    def strike(self, kind: type[F], suits: Callable[[F], bool] = lambda _: True) -> F | None:
        """The first active fault of a kind, and count it as struck; None if there is none."""
        for place, fault in self._candidates(kind, suits):
            self._struck[place] += 1
            return fault
        return None

    def _candidates(self, kind: type[F], suits: Callable[[F], bool]) -> Iterator[tuple[int, F]]:
        for place, fault in self._faults.get(kind, ()):
            if isinstance(fault, kind) and self._holds(place, fault) and suits(fault):
                yield place, fault

    def _holds(self, place: int, fault: object) -> bool:
        times: int | None = getattr(fault, "times", None)
        if times is not None and self._struck[place] >= times:
            return False
        begins = self._born + getattr(fault, "at", timedelta())
        lasts: timedelta | None = getattr(fault, "lasts", None)
        now = self._clock.now()
        return begins <= now and (lasts is None or now < begins + lasts)
