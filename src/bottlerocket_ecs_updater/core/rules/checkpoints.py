"""How fast a release goes through a cluster: canaries first, a wait at each checkpoint, so many a day.

With `1, 10%, 50%, 100%` and a wait of an hour, one instance goes first; an hour after it is done, the roll goes on
to a tenth of the cluster, and so on. Those that failed at the release take a place like those that are done, so a
bad release costs as many instances as the first checkpoint has; a checkpoint is passed only if more than half of
its instances are done. After the last one the roll is free. In a cluster so small that two checkpoints mean the
same number of instances, they are one.

Each instance is in one state: done, failed, or under way. An instance that failed and is proven on the release later
is done. An instance that ran the release before its turn came is done, too, from when it was first found on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.model.version import Version

_CHECKPOINT = re.compile(r"([1-9]\d{0,5})(\s*%)?")

DAY = timedelta(hours=24)
"""`at most N per day` counts back from now: so no midnight, in whichever zone, lets twice as many begin at once."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many instances, as a number or as a percentage of those that the updater looks after."""

    size: int
    percent: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no part of a whole."""
        if self.size < 1 or (self.percent and self.size > 100):
            raise ValueError(f"a checkpoint is a number from 1, or from 1% to 100%, not {self}")

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read `1` or `10%`. Raises ValueError for anything else."""
        match = _CHECKPOINT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a checkpoint: {text[:20]!r}; write it as 5 or 10%")
        return cls(int(match[1]), match[2] is not None)

    def __str__(self) -> str:
        return f"{self.size}%" if self.percent else str(self.size)

    def of(self, total: int) -> int:
        """How many instances of so many: a percentage is rounded down, and is never less than one."""
        return max(1, total * self.size // 100) if self.percent else self.size


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """How fast the operator lets a release go through. As it is by default, as fast as the budget allows."""

    steps: tuple[Checkpoint, ...] = ()
    wait: timedelta = timedelta(hours=1)
    """At each checkpoint, from when its last instance was done. Of no effect without checkpoints."""
    per_day: int | None = None
    """Instances that may begin in any 24 hours, whatever they go to."""

    def __post_init__(self) -> None:
        """Refuse steps that do not ascend, as far as that can be said without a cluster."""
        for kind in (False, True):
            sizes = [step.size for step in self.steps if step.percent is kind]
            if sizes != sorted(set(sizes)):
                raise ValueError(f"checkpoints must ascend: {', '.join(map(str, self.steps))}")
        if self.per_day is not None and self.per_day < 1:
            raise ValueError(f"at least one instance a day must be allowed, not {self.per_day}; pause to allow none")


@dataclass(frozen=True, slots=True)
class Roll:
    """How far one release has come in one cluster."""

    version: Version
    total: int
    """Instances that the updater looks after, wherever they stand, and those that came to something and left."""
    done: tuple[datetime, ...] = ()
    """When each instance that runs the release, or ran it when it left, was done."""
    failed: int = 0
    """Instances on which it failed, and has not been released since."""
    under_way: int = 0
    """Instances that are on their way to it: neither done nor failed."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many more instances may begin now, and why no more once these have."""

    room: int | None
    """None for as many as there are."""
    hold: Hold | None = None
    until: datetime | None = None
    """When there is room again by time alone, None where that is not known."""

    def refusal(self) -> Hold | None:
        """Why no instance may begin, None when one may."""
        return self.hold if self.room == 0 else None

    def take(self) -> Allowance:
        """What is left when one more has begun."""
        return self if self.room is None else replace(self, room=max(0, self.room - 1))


FREE = Allowance(None)


def allow(checkpoints: Checkpoints, roll: Roll, now: datetime) -> Allowance:
    """How many more instances may begin to go to that release now, by its checkpoints."""
    done = sorted(roll.done)
    tried = len(done) + roll.failed
    for size in _sizes(checkpoints.steps, roll.total):
        if tried < size:
            return _up_to(size, roll, len(done))
        if len(done) <= size // 2:
            held = hold(Reason.CHECKPOINT_FAILED, failed=roll.failed, limit=tried, version=roll.version)
            return Allowance(0, held)
        until = done[min(size, len(done)) - 1] + checkpoints.wait
        if now < until:
            return Allowance(0, _waiting(roll, len(done), until), until)
    return FREE


def allow_today(checkpoints: Checkpoints, begun: Sequence[datetime], now: datetime) -> Allowance:
    """How many more instances may begin now, by how many have begun in the last 24 hours."""
    limit = checkpoints.per_day
    if limit is None:
        return FREE
    recent = sorted(at for at in begun if at > now - DAY)
    room = max(0, limit - len(recent))
    until = (recent + [now] * room)[-limit] + DAY
    held = hold(Reason.DAILY_LIMIT, begun=len(recent), next=room, limit=limit, until=time_text(until))
    return Allowance(room, held, until)


def parse_checkpoints(text: str) -> tuple[Checkpoint, ...]:
    """Read `1, 10%, 50%, 100%`."""
    return tuple(Checkpoint.parse(part) for part in text.split(",") if part.strip())


def _sizes(steps: Sequence[Checkpoint], total: int) -> Iterator[int]:
    """How many instances each checkpoint means in a cluster of that size, those left out that add none."""
    reached = 0
    for step in steps:
        size = min(step.of(total), total)
        if size > reached:
            reached = size
            yield size


def _up_to(size: int, roll: Roll, done: int) -> Allowance:
    room = max(0, size - done - roll.failed - roll.under_way)
    full = hold(
        Reason.CHECKPOINT_FULL,
        limit=size,
        total=roll.total,
        version=roll.version,
        done=done,
        under_way=roll.under_way,
        failed=roll.failed,
        next=room,
    )
    return Allowance(room, full)


def _waiting(roll: Roll, done: int, until: datetime) -> Hold:
    return hold(Reason.CHECKPOINT_WAIT, done=done, total=roll.total, version=roll.version, until=time_text(until))
