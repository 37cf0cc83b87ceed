"""How long the steps of an update take, from records or defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bottlerocket_ecs_updater.core.model.history import RecordedDurations


@dataclass(frozen=True, slots=True)
class Pace:
    """The expected durations of the steps of an update."""

    stage: timedelta = timedelta(minutes=2)
    """Download and apply, before the drain, while tasks keep running."""
    drain: timedelta = timedelta(minutes=3)
    reboot: timedelta = timedelta(minutes=2)
    """From the reboot until the host is back and healthy."""
    settle: timedelta = timedelta(minutes=1)

    @property
    def out_of_service(self) -> timedelta:
        """From the drain to the return. This must end within a window."""
        return self.drain + self.reboot


STATED = Pace()
"""The defaults: a drain with a deregistration delay of two minutes, and the reboot of a virtual machine."""


def pace_from(recorded: RecordedDurations, settle: timedelta, *, share: float = 0.5) -> Pace:
    """Durations at quantile `share` of the recorded updates; built-in defaults if nothing is recorded.

    A forecast of the whole rollout uses the median; whether one update ends within a window needs a higher quantile.
    """
    return Pace(
        stage=_quantile(recorded.stages, share, STATED.stage),
        drain=_quantile(recorded.drains, share, STATED.drain),
        reboot=_quantile(recorded.reboots, share, STATED.reboot),
        settle=settle,
    )


def needed(pace: Pace, waits: timedelta = timedelta()) -> timedelta:
    """How long an instance is out of service, including waits for its tasks. The cutoff of a window uses it."""
    return pace.out_of_service + waits


def _quantile(durations: Sequence[timedelta], share: float, default: timedelta) -> timedelta:
    """The duration at quantile `share`; None if there are none."""
    if not durations:
        return default
    return sorted(durations)[min(len(durations) - 1, int(share * len(durations)))]
