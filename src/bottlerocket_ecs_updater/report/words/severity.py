"""The severity of each event, which decides whether a quiet, normal or verbose log shows it."""

from __future__ import annotations

from enum import IntEnum

from bottlerocket_ecs_updater.core.model.event import (
    ActDenied,
    ActUnclear,
    ClusterLooked,
    CommandSent,
    Event,
    HealthChanged,
    HostChecked,
    InstanceFailed,
    InstanceHeld,
    InstanceLost,
    InstanceQuarantined,
    LeaseTaken,
    LookPostponed,
    OutputFailed,
    PhaseEntered,
    RuleOff,
    RunFinished,
    RunHalted,
    StateUnreadable,
    UpdatesPaused,
    VersionSeen,
    VersionWithdrawn,
)
from bottlerocket_ecs_updater.core.model.passing import needs_a_person
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind


class Level(IntEnum):
    """Severity levels."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40

    @property
    def word(self) -> str:
        """The level's name in a log line."""
        return self.name.lower()


def level_named(word: str) -> Level:
    """The level with that name. Raises KeyError for other names."""
    return Level[word.upper()]


ROUTINE = frozenset(
    {
        Reason.NOT_BOTTLEROCKET,
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.SETTLING,
        Reason.STAGING_AHEAD,
        Reason.UNWELL,
        Reason.OWN_HOST_LAST,
        Reason.HALTED,
        Reason.STOPPING,
        Reason.NOT_REACHED,
    }
)
"""Holds that are normal in a run. There may be hundreds of them, and they end with the next slot or run."""


def level_of(event: Event) -> Level:
    """The severity of an event."""
    match event:
        case RunHalted() | InstanceFailed() | InstanceQuarantined():
            return Level.ERROR
        case InstanceHeld(hold=hold):
            return _level_of_hold(hold)
        case RunFinished(exit_code=exit_code):
            return Level.INFO if exit_code == 0 else Level.ERROR
        case LeaseTaken(warning=warning) if warning:
            return Level.WARNING
        case HealthChanged(unwell=unwell):
            return Level.WARNING if unwell else Level.INFO
        case (
            UpdatesPaused()
            | ActDenied()
            | ActUnclear()
            | LookPostponed()
            | RuleOff()
            | StateUnreadable()
            | OutputFailed()
            | VersionWithdrawn()
            | InstanceLost()
        ):
            return Level.WARNING
        case CommandSent(kind=DocumentKind.BEFORE_DRAIN | DocumentKind.AFTER_REBOOT):
            return Level.INFO
        case ClusterLooked() | HostChecked() | CommandSent() | PhaseEntered() | VersionSeen():
            return Level.DEBUG
        case _:
            return Level.INFO


def _level_of_hold(hold: Hold) -> Level:
    if needs_a_person(hold):
        return Level.WARNING
    return Level.DEBUG if hold.reason in ROUTINE else Level.INFO
