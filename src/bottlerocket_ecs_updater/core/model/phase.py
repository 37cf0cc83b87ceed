"""The phases of an update, as one table: how each is recognized, what the updater does in it, and what ends it.

    CURRENT ──update appears──▶ AVAILABLE ──apply──▶ READY ──slot──▶ DRAINING ──empty──▶ REBOOTING
       ▲                            │                  │                │                    │
       │                            ▼                  │            limit│          new boot id
    SETTLING ◀──seen ACTIVE── RETURNING ◀──healthy── VERIFYING ◀─────────┼────────────────────┘
                                  ▲                    │                │
                                  └────────────────────┼────────────────┘ (abandoned)
                                                       └──limit──▶ QUARANTINED

A phase is never stored. `phase_of` derives it from what ECS, Systems Manager, the host and the claim say now.
"""

from __future__ import annotations

from enum import Enum

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind


class Phase(Enum):
    """Where an instance is in its update, in the words of logs and reports.

    Each phase has three texts, from which the table in `docs/develop/architecture.md` is generated: `seen`, how the
    phase is recognized; `action`, what the updater does in it; and `ends`, what ends it.
    """

    seen: str
    action: str
    ends: str

    UNKNOWN = "unknown", "no answer from the host yet", "sends a check", "the host answers"
    CURRENT = "current", "the host says Idle", "nothing", "an update is offered to it"
    AVAILABLE = (
        "available",
        "the host says Available or Staged",
        "stages the update while tasks run, if the policy admits the version",
        "the apply command is sent",
    )
    STAGING = "staging", "our apply command is pending", "waits", "the command ends"
    READY = (
        "ready",
        "the host says Ready",
        "waits for a free slot in the budget",
        "a slot is free, and nothing holds the instance",
    )
    DRAINING = (
        "draining",
        "our claim, in phase draining",
        "sets DRAINING",
        "no task is left; or the drain limit passes, and the instance is returned",
    )
    REBOOTING = (
        "rebooting",
        "our claim, in phase rebooting",
        "sends the reboot command; the host checks its boot and the version",
        "the host reports a new boot id; or the reboot limit passes, and the instance is quarantined",
    )
    VERIFYING = (
        "verifying",
        "our claim, and a new boot id",
        "checks the version and that the ECS agent stays connected; runs the after-reboot document",
        "all of these succeed; or the reboot limit passes, and the instance is quarantined",
    )
    RETURNING = "returning", "verified, or abandoned", "sets ACTIVE", "ECS shows ACTIVE, and the claim is removed"
    QUARANTINED = (
        "quarantined",
        "our claim, in phase quarantined",
        "leaves it out of service and reports it in every run",
        "it is healthy again, or a person releases it",
    )

    def __new__(cls, value: str, seen: str, action: str, ends: str) -> Phase:
        """A member whose value is its name in logs and reports."""
        member = object.__new__(cls)
        member._value_ = value
        member.seen, member.action, member.ends = seen, action, ends
        return member


IN_PROGRESS = frozenset({Phase.STAGING, Phase.DRAINING, Phase.REBOOTING, Phase.VERIFYING, Phase.RETURNING})
"""Phases in which an update is in progress on an instance."""


def phase_of(instance: Instance) -> Phase:
    """The phase of an instance, derived from the facts that are known about it."""
    if instance.claim is not None:
        return _claimed_phase(instance)
    if instance.pending is not None and instance.pending.kind is DocumentKind.APPLY:
        return Phase.STAGING
    report = instance.report
    if report is None:
        return Phase.UNKNOWN
    match report.state:
        case UpdateState.IDLE:
            return Phase.CURRENT
        case UpdateState.AVAILABLE | UpdateState.STAGED:
            return Phase.AVAILABLE
        case UpdateState.READY:
            return Phase.READY


def _claimed_phase(instance: Instance) -> Phase:
    assert instance.claim is not None
    if instance.claim.phase is ClaimPhase.QUARANTINED:
        return Phase.QUARANTINED
    if instance.progress.sent_return is not None:
        return Phase.RETURNING
    if instance.claim.phase is ClaimPhase.DRAINING:
        return Phase.DRAINING
    return Phase.VERIFYING if instance.progress.new_boot is not None else Phase.REBOOTING
