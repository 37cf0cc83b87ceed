"""The severity of each event, which decides whether a quiet, normal or verbose log shows it."""

from __future__ import annotations

from enum import IntEnum

from bottlerocket_ecs_updater.core.decision.backoff import UNTIL_CLEARED
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
from bottlerocket_ecs_updater.core.model.passing import NEVER_PASSES
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


PASSES_BY_ITSELF = frozenset(
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

WANTS_A_PERSON = (
    NEVER_PASSES - {Reason.HYBRID_ACTIVATION, Reason.CLAIM_LOST, Reason.DEPLOYMENT_FAILED, Reason.NO_PLACE}
) | {
    Reason.NOT_DESCRIBED,
    Reason.SEND_REFUSED,
    Reason.UPDATE_LOCK_HELD,
    Reason.DRAIN_BLOCKED,
    Reason.CLAIM_REMOVED,
    Reason.DRAIN_TIMED_OUT,
    Reason.CALENDAR_UNKNOWN,
    Reason.VERSION_WITHDRAWN,
    Reason.UNCLEAR,
}
"""Holds that a person should look at: most that do not pass by themselves, and some that may."""


def wants_a_person(hold: Hold) -> bool:
    """Whether a person should look at it."""
    rests = hold.reason is Reason.BACKING_OFF and ("until", UNTIL_CLEARED) in hold.facts
    return rests or hold.reason in WANTS_A_PERSON


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
    if wants_a_person(hold):
        return Level.WARNING
    return Level.DEBUG if hold.reason in PASSES_BY_ITSELF else Level.INFO
