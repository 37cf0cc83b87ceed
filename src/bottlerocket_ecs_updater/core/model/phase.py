"""The life of one instance, as one table: what each phase is seen by, what we do, and when it ends.

    CURRENT ──update appears──▶ AVAILABLE ──apply──▶ READY ──slot──▶ DRAINING ──empty──▶ REBOOTING
       ▲                            │                  │                │                    │
       │                            ▼                  │            limit│          new boot id
    SETTLING ◀──seen ACTIVE── RETURNING ◀──healthy── VERIFYING ◀─────────┼────────────────────┘
                                  ▲                    │                │
                                  └────────────────────┼────────────────┘ (given back)
                                                       └──limit──▶ QUARANTINED

A phase is never stored as "where we are": `phase_of` reads it from what the witnesses say at this moment.
"""

from __future__ import annotations

from enum import Enum

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind


class Phase(Enum):
    """Where an instance is in its life, in the words that logs and reports use."""

    UNKNOWN = "unknown"
    CURRENT = "current"
    AVAILABLE = "available"
    STAGING = "staging"
    READY = "ready"
    DRAINING = "draining"
    REBOOTING = "rebooting"
    VERIFYING = "verifying"
    RETURNING = "returning"
    QUARANTINED = "quarantined"


IN_PROGRESS = frozenset({Phase.STAGING, Phase.DRAINING, Phase.REBOOTING, Phase.VERIFYING, Phase.RETURNING})
"""Phases in which something of ours is under way on an instance."""


def phase_of(instance: Instance) -> Phase:
    """The phase that an instance is in, from what is known of it."""
    if instance.claim is not None:
        return _claimed_phase(instance)
    if instance.pending is not None and instance.pending.kind is DocumentKind.APPLY:
        return Phase.STAGING
    report = instance.check_answer.report if instance.check_answer else None
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
    if instance.progress.return_sent_at is not None:
        return Phase.RETURNING
    if instance.claim.phase is ClaimPhase.DRAINING:
        return Phase.DRAINING
    return Phase.VERIFYING if instance.progress.proof_at is not None else Phase.REBOOTING
