"""When a run halts: one failed host may be a hardware fault, two suggest that the version is bad."""

from __future__ import annotations

from collections.abc import Collection

from bottlerocket_ecs_updater.core.decision.admission import said_against
from bottlerocket_ecs_updater.core.decision.not_counted import members, outside
from bottlerocket_ecs_updater.core.decision.settling import never_settled
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure
from bottlerocket_ecs_updater.core.model.time_text import duration_text

FAILURES_COUNTED = frozenset(
    {
        Failure.ROLLED_BACK,
        Failure.NOT_BACK,
        Failure.UNHEALTHY,
        Failure.NEVER_REBOOTED,
        Failure.REBOOT_REFUSED,
    }
)
"""Failures after a drain. A failed apply disturbs no task, and a host on an unexpected version is healthy."""


def find_halt(this_pass: Pass, may_recover: Collection[InstanceId] = ()) -> Halt | None:
    """Why the run must start no more updates; None if it may. A halt lasts until the end of the run.

    `may_recover` are quarantined instances that may still recover in this run, so they do not fill the budget
    permanently.
    """
    fleet = this_pass.fleet
    if fleet.halt is not None:
        return fleet.halt
    return (
        _breaks_tasks(fleet)
        or _too_many_failures(this_pass)
        or _quarantine_full(this_pass, may_recover)
        or _never_settled(this_pass)
    )


def _breaks_tasks(fleet: Fleet) -> Halt | None:
    """Halt if this run found that tasks fail on a version. A finding of an earlier run holds instances instead."""
    found = [(version, one) for version, one in fleet.past.broken.items() if one.at >= fleet.started_at]
    if not found:
        return None
    version, broken = max(found, key=lambda item: item[1].at)
    return Halt(f"{version} does not work on {', '.join(broken.hosts)}: {said_against(broken)}")


def _too_many_failures(this_pass: Pass) -> Halt | None:
    bad = sorted(
        (one for one in this_pass.fleet.instances.values() if _failed_in_this_run(one)), key=lambda one: one.id
    )
    if not bad or len(bad) < this_pass.policy.max_failures:
        return None
    first = _outcome_of(bad[0])
    names = ", ".join(instance.id for instance in bad)
    which = f"; {bad[0].id}" if len(bad) > 1 else ""
    return Halt(f"{names} failed after the drain started{which}: {_say(first)}")


def _failed_in_this_run(instance: Instance) -> bool:
    """Whether it failed in this run, whichever run drained it. One found in quarantine failed earlier."""
    if instance.progress.found_in_quarantine:
        return False
    match _outcome_of(instance):
        case Quarantined():
            return True
        case Failed(failure=failure):
            return failure in FAILURES_COUNTED
        case _:
            return False


def _outcome_of(instance: Instance) -> Outcome | None:
    """Its outcome, even if it has not been seen back in service yet."""
    progress = instance.progress
    return progress.outcome or (progress.sent_return.outcome if progress.sent_return is not None else None)


def _say(outcome: Outcome | None) -> str:
    return str(outcome.why) if isinstance(outcome, Quarantined) else str(outcome)


def _quarantine_full(this_pass: Pass, may_recover: Collection[InstanceId]) -> Halt | None:
    fleet, policy = this_pass.fleet, this_pass.policy
    counted = (id_ for id_ in in_quarantine(fleet) if outside(fleet.instances[id_], policy) is None)
    quarantined = [id_ for id_ in counted if id_ not in may_recover]
    if not quarantined:
        return None
    limit = policy.max_unavailable.of(len(members(this_pass)))
    if len(quarantined) < limit:
        return None
    names = ", ".join(sorted(quarantined))
    return Halt(f"quarantined instances fill the budget of {limit}: {names}; repair, replace or `release` them")


def _never_settled(this_pass: Pass) -> Halt | None:
    late = [slot for slot in this_pass.fleet.slots if never_settled(slot, this_pass)]
    if not late:
        return None
    services = ", ".join(sorted({name for slot in late for name in slot.unsteady})) or "the services"
    after = ", ".join(sorted(slot.instance for slot in late))
    return Halt(
        f"not steady within {duration_text(this_pass.policy.settle_timeout)} after {after} was returned: {services}"
    )


def in_quarantine(fleet: Fleet) -> tuple[InstanceId, ...]:
    """The instances that this run or an earlier one quarantined."""
    return tuple(
        instance.id
        for instance in fleet.instances.values()
        if instance.claim is not None and instance.claim.phase is ClaimPhase.QUARANTINED
    )
