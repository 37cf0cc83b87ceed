"""Learns how long drains and reboots usually take, so that looks are taken when they may be over.

Only looks show whether one is over. The first look at the next one is later after a look that was too early, and
earlier after a look that was in time, because it may have been over for some time. But ECS says when a task stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import learned_from, quiet_time
from bottlerocket_ecs_updater.core.model.ids import InstanceId

QUICKER_SHARE = 4
"""Of several durations, the one that is longer than a quarter of them is expected: a first look that is too late leaves
a host out of service, and one that is too early is only a call."""

TOGETHER = timedelta(seconds=1)
"""Drains, or reboots, that begin within this time began together: one call started them."""

STOPS_COUNTED = 8
"""The latest so many drains in which tasks of a service stopped are counted."""


@dataclass(slots=True)
class UsualStops:
    """How long the tasks of each service usually take to stop in a drain. ECS says when each task stopped. Mutable."""

    believed_max: timedelta
    """A longer duration counts from the second one on: something may have delayed the first."""
    _took: dict[str, deque[timedelta]] = field(default_factory=dict)
    _usual: dict[str, timedelta] = field(default_factory=dict)

    def note(self, service: str, took: timedelta) -> None:
        """The last task of a service on an instance has stopped, so long after the drain began."""
        counted = self._took.setdefault(service, deque(maxlen=STOPS_COUNTED))
        counted.append(took)
        if took < self.believed_max or len(counted) > 1:
            self._usual[service] = _quick(counted)

    @property
    def usual(self) -> Mapping[str, timedelta]:
        """The usual duration by service."""
        return dict(self._usual)


@dataclass(slots=True)
class UsualDuration:
    """How long drains, or the reboots of one instance type, usually take. Mutable."""

    poll: timedelta
    """The poll interval."""
    believed_max: timedelta
    """Longer durations are not learned: something delayed them, so they do not predict other instances."""
    usual: timedelta | None = None
    """None until the first one is over, unless something is known from before."""
    _in_time: int = 0
    """For how many in a row the first look was not too early."""
    _began_last: datetime | None = None
    """When the latest one began that was learned from."""
    _early: set[InstanceId] = field(default_factory=set)
    """Instances that a look found in progress, although others were usually over by then."""

    def note_not_over(self, instance: InstanceId, began: datetime, now: datetime) -> None:
        """A look at `now` found that it is not over."""
        if self.usual is not None and now >= began + quiet_time(self.usual, self.poll):
            self._early.add(instance)

    def note_over(self, instance: InstanceId, began: datetime, took: timedelta) -> None:
        """A look found that it is over, after `took`. Of several that began together, the first counts.

        The others say how far apart they are, not when the first of the next ones will be over. If they counted, each
        host that takes far longer than those that began with it would delay the looks at all later ones.
        """
        early = instance in self._early
        self._early.discard(instance)
        others_counted = self._began_last is not None and began < self._began_last + TOGETHER
        if took >= self.believed_max or others_counted:
            return
        self._in_time = 0 if early else self._in_time + 1
        self._began_last = began
        self.usual = learned_from(took, self.usual, self.poll, in_time=self._in_time)


@dataclass(slots=True)
class UsualReboots:
    """How long the reboots of each instance type usually take: some take half a minute, others minutes. Mutable."""

    poll: timedelta
    believed_max: timedelta
    earlier: timedelta | None = None
    """What is expected of a type that this run has not seen to reboot."""
    _of_type: dict[str, UsualDuration] = field(default_factory=dict)

    def begin_with(self, recorded: Sequence[timedelta]) -> None:
        """Expect any type to reboot as quickly as the quicker ones that earlier runs recorded."""
        believed = [took for took in recorded if took < self.believed_max]
        self.earlier = learned_from(_quick(believed), None, self.poll, in_time=0) if believed else None

    def of(self, type_: str) -> UsualDuration:
        """Those of one type; the empty type for all instances whose type is not known."""
        return self._of_type.setdefault(type_, UsualDuration(self.poll, self.believed_max, self.earlier))

    @property
    def usual(self) -> Mapping[str, timedelta]:
        """The usual duration by type."""
        return {type_: one.usual for type_, one in self._of_type.items() if one.usual is not None}


def _quick(durations: Iterable[timedelta]) -> timedelta:
    ranked = sorted(durations)
    return ranked[len(ranked) // QUICKER_SHARE]
