"""How long the steps of an update take, as recorded or assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bottlerocket_ecs_updater.core.model.history import RecordedDurations


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the parts of an update take."""

    stage: timedelta = timedelta(minutes=2)
    """Download and apply, before the drain: tasks keep running."""
    drain: timedelta = timedelta(minutes=3)
    reboot: timedelta = timedelta(minutes=2)
    """From the reboot to the proof that the host is back and healthy."""
    settle: timedelta = timedelta(minutes=1)

    @property
    def out_of_service(self) -> timedelta:
        """From the drain to the return: what must end within a window."""
        return self.drain + self.reboot


STATED = Pace()
"""The defaults: a drain with a deregistration delay of two minutes, and a reboot as a virtual machine does it."""


def pace_from(recorded: RecordedDurations, settle: timedelta, *, share: float = 0.5) -> Pace:
    """The pace that so many of the recorded updates kept; the stated one for what was never recorded.

    Half of them for a forecast of the whole roll; more for the question whether one instance ends within a window.
    """
    return Pace(
        stage=_quantile(recorded.stages, share, STATED.stage),
        drain=_quantile(recorded.drains, share, STATED.drain),
        reboot=_quantile(recorded.reboots, share, STATED.reboot),
        settle=settle,
    )


def needed(pace: Pace, waits: timedelta = timedelta()) -> timedelta:
    """How long an instance is out of service, its tasks' waits included: what the cutoff of a window asks."""
    return pace.out_of_service + waits


def _quantile(durations: Sequence[timedelta], share: float, default: timedelta) -> timedelta:
    """The shortest of the durations that so many of them do not exceed."""
    if not durations:
        return default
    return sorted(durations)[min(len(durations) - 1, int(share * len(durations)))]
