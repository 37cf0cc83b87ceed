"""Learns how long drains, or reboots, usually take, so that looks are taken when they may be over.

Only looks show whether one is over. The first look at the next one is later after a look that was too early, and
earlier after a look that was in time, because it may have been over for some time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import learned_from, quiet_time
from bottlerocket_ecs_updater.core.model.ids import InstanceId

EARLIER_RUNS_COUNTED, QUICKER_SHARE = 8, 4
"""Of the latest so many durations that earlier runs recorded, a run expects the one that is longer than a quarter of
them: a first look that is too late leaves a host out of service, and one that is too early is only a call."""

TOGETHER = timedelta(seconds=1)
"""Drains, or reboots, that begin within this time began together: one call started them."""


@dataclass(slots=True)
class UsualDuration:
    """How long drains, or reboots, usually take. Mutable; a run has one for each."""

    poll: timedelta
    """The poll interval."""
    believed_max: timedelta
    """Longer durations are not learned: something delayed them, so they do not predict other instances."""
    usual: timedelta | None = None
    """None until the first one is over, unless earlier runs recorded some."""
    _in_time: int = 0
    """For how many in a row the first look was not too early."""
    _began_last: datetime | None = None
    """When the latest one began that was learned from."""
    _early: set[InstanceId] = field(default_factory=set)
    """Instances that a look found in progress, although others were usually over by then."""

    def begin_with(self, recorded: Sequence[timedelta]) -> None:
        """Expect what earlier runs recorded, the oldest first."""
        believed = sorted(took for took in recorded[-EARLIER_RUNS_COUNTED:] if took < self.believed_max)
        if believed:
            self.usual = learned_from(believed[len(believed) // QUICKER_SHARE], None, self.poll, in_time=0)

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
