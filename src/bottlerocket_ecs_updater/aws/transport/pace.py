"""The pace: fewer calls than AWS allows, so that everybody else in the account keeps their share.

ECS limits rates for an account and Region together, by buckets of operations: 20 calls a second sustained for reads,
40 for modifications, 100 at once. The updater keeps to less than half of what is sustained, in any second: whatever
else deploys or scales there finds the bursts unused. Systems Manager publishes no numbers; its bucket is a cautious
guess, after reports that polling each invocation was throttled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.aws.transport.operation import Bucket, Operation
from bottlerocket_ecs_updater.engine.ports import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls a second can go on for ever, and how many may come at once."""

    per_second: float
    burst: int


RATES: Mapping[Bucket, Rate] = {
    Bucket.CLUSTER_RESOURCE_READ: Rate(8, 2),
    Bucket.CLUSTER_RESOURCE_MODIFY: Rate(16, 4),
    Bucket.SERVICE_READ: Rate(8, 2),
    Bucket.SYSTEMS_MANAGER: Rate(5, 10),
}
"""Buckets that are not named here are not paced: what goes to the store is a few calls a minute."""


class Pace:
    """Makes calls wait for their turn. Waits go through the clock, so they are virtual where time is."""

    def __init__(self, clock: Clock, rates: Mapping[Bucket, Rate] = RATES) -> None:
        self._clock = clock
        self._turns = {bucket: _Turns(rate) for bucket, rate in rates.items()}

    def wait(self, bucket: Bucket) -> None:
        """Return when a call may be made, or at once where a signal cuts the wait short."""
        turns = self._turns.get(bucket)
        if turns is None:
            return
        delay = turns.take(self._clock.now())
        if delay > timedelta(0):
            self._clock.sleep(delay)

    def slow_down(self, bucket: Bucket) -> None:
        """AWS throttled: its bucket is empty, whoever emptied it, so there is no burst left for us either."""
        turns = self._turns.get(bucket)
        if turns is not None:
            turns.empty(self._clock.now())


class _Turns:
    """A token bucket, kept as the one moment at which it would be full again (the generic cell rate algorithm)."""

    def __init__(self, rate: Rate) -> None:
        # Rounded up: a microsecond lost in rounding must not add up to a call too many.
        self._spacing = timedelta(seconds=1 / rate.per_second) + timedelta.resolution
        self._tolerance = self._spacing * (rate.burst - 1)
        self._full_at: datetime | None = None

    def take(self, now: datetime) -> timedelta:
        """Take the next turn, and say how long it is until then."""
        full_at = self._known_at(now)
        turn = max(now, full_at - self._tolerance)
        self._full_at = max(full_at, now) + self._spacing
        return turn - now

    def empty(self, now: datetime) -> None:
        self._full_at = max(self._known_at(now), now + self._tolerance + self._spacing)

    def _known_at(self, now: datetime) -> datetime:
        # A machine's time can be set back: never wait longer than it takes a bucket in deep debt to recover.
        most = now + self._tolerance + self._spacing * 2
        return min(self._full_at, most) if self._full_at is not None else now


class Calls(Mapping[str, int]):
    """How often each operation was asked for, as `ecs:ListTasks`; every attempt counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.throttled = 0
        """How many of them AWS refused for their rate."""

    def note(self, operation: Operation) -> None:
        """Count one request."""
        self._counts[operation.title] += 1

    def note_throttled(self) -> None:
        """Count one that was refused for its rate."""
        self.throttled += 1

    def __getitem__(self, title: str) -> int:
        return self._counts[title]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._counts))

    def __len__(self) -> int:
        return len(self._counts)
