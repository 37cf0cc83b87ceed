"""Rate limits: the updater makes fewer calls than AWS allows, so that others in the account keep their share.

ECS limits the rate per account and Region, in buckets of operations: 20 calls a second sustained for reads, 40 for
modifications, bursts of 100. In any second the updater stays below half of the sustained rate, which leaves the bursts
to deployments and scaling. Systems Manager publishes no limits; its bucket is a cautious guess, based on reports that
polling each invocation was throttled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.aws.transport.operation import Operation, ThrottleBucket
from bottlerocket_ecs_updater.engine.ports import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """The sustained rate in calls a second, and the burst in calls."""

    per_second: float
    burst: int


RATES: Mapping[ThrottleBucket, Rate] = {
    ThrottleBucket.CLUSTER_RESOURCE_READ: Rate(8, 2),
    ThrottleBucket.CLUSTER_RESOURCE_MODIFY: Rate(16, 4),
    ThrottleBucket.SERVICE_READ: Rate(8, 2),
    ThrottleBucket.SYSTEMS_MANAGER: Rate(5, 10),
}
"""Other buckets have no limit: the state store gets only a few calls a minute."""


class CallPace:
    """Delays calls to keep the rate. Waits use the clock, so they take no real time in a simulation."""

    def __init__(self, clock: Clock, rates: Mapping[ThrottleBucket, Rate] = RATES) -> None:
        self._clock = clock
        self._buckets = {bucket: _Bucket(rate) for bucket, rate in rates.items()}

    def wait(self, bucket: ThrottleBucket) -> None:
        """Return when a call may be made, or immediately if a signal interrupts the wait."""
        slots = self._buckets.get(bucket)
        if slots is None:
            return
        delay = slots.take(self._clock.now())
        if delay > timedelta(0):
            self._clock.sleep(delay)

    def slow_down(self, bucket: ThrottleBucket) -> None:
        """AWS throttled a call: its bucket is empty, so the updater uses no burst either."""
        slots = self._buckets.get(bucket)
        if slots is not None:
            slots.empty(self._clock.now())


class _Bucket:
    """A token bucket, stored as the time when it will be full again (generic cell rate algorithm)."""

    def __init__(self, rate: Rate) -> None:
        # Rounded up: a microsecond lost in rounding must not add up to a call too many.
        self._spacing = timedelta(seconds=1 / rate.per_second) + timedelta.resolution
        self._tolerance = self._spacing * (rate.burst - 1)
        self._full_at: datetime | None = None

    def take(self, now: datetime) -> timedelta:
        """Reserve the next slot, and return how long to wait for it."""
        full_at = self._known_at(now)
        slot = max(now, full_at - self._tolerance)
        self._full_at = max(full_at, now) + self._spacing
        return slot - now

    def empty(self, now: datetime) -> None:
        self._full_at = max(self._known_at(now), now + self._tolerance + self._spacing)

    def _known_at(self, now: datetime) -> datetime:
        # The clock can be set back: never wait longer than an overdrawn bucket takes to recover.
        most = now + self._tolerance + self._spacing * 2
        return min(self._full_at, most) if self._full_at is not None else now


class Calls(Mapping[str, int]):
    """Calls per operation, such as `ecs:ListTasks`; every attempt counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.throttled = 0
        """How many calls AWS throttled."""

    def note(self, operation: Operation) -> None:
        """Count one call."""
        self._counts[operation.title] += 1

    def note_throttled(self) -> None:
        """Count one throttled call."""
        self.throttled += 1

    def __getitem__(self, title: str) -> int:
        return self._counts[title]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._counts))

    def __len__(self) -> int:
        return len(self._counts)
