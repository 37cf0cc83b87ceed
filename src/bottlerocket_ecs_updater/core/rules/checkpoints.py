"""Checkpoints: how fast a version is rolled out in a cluster. Canaries first, a wait at each checkpoint, a daily limit.

With `1, 10%, 50%, 100%` and a wait of one hour, one instance is updated first. One hour after it is done, the rollout
continues up to a tenth of the cluster, and so on. Failed instances count like done ones, so a bad version reaches at
most as many instances as the first checkpoint allows. A checkpoint is passed only if more than half of its instances
are done. After the last one the rollout is free. In a small cluster, checkpoints of the same number of instances are
one.

Each instance is in one state: done, failed or in progress. An instance that failed, and is later verified on the
version, is done. So is an instance that ran the version before its turn, counted from when it was first found on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import DAY, time_text
from bottlerocket_ecs_updater.core.model.version import Version

_CHECKPOINT = re.compile(r"([1-9]\d{0,5})(\s*%)?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A number of instances, or a percentage of those that the updater manages."""

    size: int
    percent: bool = False

    def __post_init__(self) -> None:
        """Reject sizes below 1 and percentages above 100."""
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
        """How many of `total` instances: a percentage is rounded down, but is at least 1."""
        return max(1, total * self.size // 100) if self.percent else self.size


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """How fast the operator lets a version be rolled out. The default is as fast as the budget allows."""

    steps: tuple[Checkpoint, ...] = ()
    wait: timedelta = timedelta(hours=1)
    """How long to wait after the last instance of each checkpoint is done. Without checkpoints it has no effect."""
    per_day: int | None = None
    """How many updates may start in any 24 hours, to any version."""

    def __post_init__(self) -> None:
        """Reject steps that do not ascend, as far as this can be checked without a cluster."""
        for kind in (False, True):
            sizes = [step.size for step in self.steps if step.percent is kind]
            if sizes != sorted(set(sizes)):
                raise ValueError(f"checkpoints must ascend: {', '.join(map(str, self.steps))}")
        if self.per_day is not None and self.per_day < 1:
            raise ValueError(f"at least one instance a day must be allowed, not {self.per_day}; pause to allow none")


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How far the rollout of one version is in one cluster."""

    version: Version
    total: int
    """Instances that the updater manages, plus those that were done or failed and then left the cluster."""
    done: tuple[datetime, ...] = ()
    """When each instance was done that runs the version, or ran it when it left the cluster."""
    failed: int = 0
    """How many instances it failed on since a person last released it."""
    in_progress: int = 0
    """How many instances have an update to it in progress."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many more updates may start now, and why no more may start after these."""

    room: int | None
    """None for no limit."""
    hold: Hold | None = None
    until: datetime | None = None
    """When more may start without any other change; None if not known."""

    def refusal(self) -> Hold | None:
        """Why no update may start; None if one may."""
        return self.hold if self.room == 0 else None

    def take(self) -> Allowance:
        """The allowance after one more update has started."""
        return self if self.room is None else replace(self, room=max(0, self.room - 1))


FREE = Allowance(None)


def allow(checkpoints: Checkpoints, rollout: RolloutState, now: datetime) -> Allowance:
    """How many more updates to that version may start now, by its checkpoints."""
    done = sorted(rollout.done)
    tried = len(done) + rollout.failed
    for size in _sizes(checkpoints.steps, rollout.total):
        if tried < size:
            return _up_to(size, rollout, len(done))
        if len(done) <= size // 2:
            held = hold(Reason.CHECKPOINT_FAILED, failed=rollout.failed, limit=tried, version=rollout.version)
            return Allowance(0, held)
        until = done[min(size, len(done)) - 1] + checkpoints.wait
        if now < until:
            return Allowance(0, _waiting(rollout, len(done), until), until)
    return FREE


def allow_today(checkpoints: Checkpoints, started: Sequence[datetime], now: datetime) -> Allowance:
    """How many more updates may start now, given those that started in the last 24 hours."""
    limit = checkpoints.per_day
    if limit is None:
        return FREE
    recent = sorted(at for at in started if at > now - DAY)
    room = max(0, limit - len(recent))
    until = (recent + [now] * room)[-limit] + DAY
    held = hold(Reason.DAILY_LIMIT, begun=len(recent), next=room, limit=limit, until=time_text(until))
    return Allowance(room, held, until)


def _sizes(steps: Sequence[Checkpoint], total: int) -> Iterator[int]:
    """The number of instances at each checkpoint in a cluster of that size, without checkpoints that add none."""
    reached = 0
    for step in steps:
        size = min(step.of(total), total)
        if size > reached:
            reached = size
            yield size


def _up_to(size: int, rollout: RolloutState, done: int) -> Allowance:
    room = max(0, size - done - rollout.failed - rollout.in_progress)
    full = hold(
        Reason.CHECKPOINT_FULL,
        limit=size,
        total=rollout.total,
        version=rollout.version,
        done=done,
        under_way=rollout.in_progress,
        failed=rollout.failed,
        next=room,
    )
    return Allowance(room, full)


def _waiting(rollout: RolloutState, done: int, until: datetime) -> Hold:
    return hold(Reason.CHECKPOINT_WAIT, done=done, total=rollout.total, version=rollout.version, until=time_text(until))
