"""Learns how long drains, or reboots, usually take in this run, so that looks are taken when they may be over.

Only looks show whether one is over. The first look at the next one is later after a look that was too early, and
earlier after a look that was in time, because it may have been over for some time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import learned_from, quiet_time
from bottlerocket_ecs_updater.core.model.ids import InstanceId


@dataclass(slots=True)
class UsualDuration:
    """How long drains, or reboots, usually take. Mutable; a run has one for each."""

    poll: timedelta
    """The poll interval."""
    believed_max: timedelta
    """Longer durations are not learned: something delayed them, so they do not predict other instances."""
    usual: timedelta | None = None
    """None until the first one is over."""
    _in_time: int = 0
    """How many looks in a row that found any over were not too early."""
    _learned_at: datetime | None = None
    _early: set[InstanceId] = field(default_factory=set)
    """Instances that a look found in progress, although others were usually over by then."""

    def note_not_over(self, instance: InstanceId, began: datetime, now: datetime) -> None:
        """A look at `now` found that it is not over."""
        if self.usual is not None and now >= began + quiet_time(self.usual, self.poll):
            self._early.add(instance)

    def note_over(self, instance: InstanceId, took: timedelta, now: datetime) -> None:
        """A look at `now` found that it is over, after `took`. Of several that one look finds, the first counts."""
        early = instance in self._early
        self._early.discard(instance)
        if took >= self.believed_max or self._learned_at == now:
            return
        self._in_time = 0 if early else self._in_time + 1
        self._learned_at = now
        self.usual = learned_from(took, self.usual, self.poll, in_time=self._in_time)
