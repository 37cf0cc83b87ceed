"""Updates an instance after this run has acted on it: a claim, a drain, a return, or the hand-over to another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.ids import ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.run_progress import Applies, HandOver, RunProgress, SentDrain, SentReturn
from bottlerocket_ecs_updater.core.state.observe import health_before


def see_marked(instance: Instance, claim: Claim, now: datetime, *, confirmed: bool = True) -> Instance:
    """Our claim was written on it, or may have been. A claim for another reboot restarts the wait for it."""
    progress, before = instance.progress, instance.claim
    if before is not None and before.run != claim.run:
        progress = replace(progress, taken_from=before.run)
    seen = confirmed or progress.claim_seen
    progress = replace(progress, phase_seen_at=now, claim_seen=seen)
    match claim.phase:
        case ClaimPhase.DRAINING:
            progress = RunProgress(
                claimed_at=now,
                phase_seen_at=now,
                claim_seen=confirmed,
                offered=progress.offered,
                applies=Applies(progress.applies.sent),
                connected_looks=progress.connected_looks,
                health_before=health_before(instance),
            )
            registration = instance.registration
            arn = registration.arn if registration is not None else None
            return replace(instance, claim=claim, claimed_arn=arn, reboots=(), progress=progress)
        case ClaimPhase.REBOOTING:
            left = instance.registration.remaining if instance.registration is not None else None
            gpus = left.gpus if left is not None and before is not None else progress.gpus_before
            progress = replace(progress, reboot_sent_at=None, away_at=None, new_boot=None, gpus_before=gpus)
            return replace(instance, claim=claim, after_reboot_result=None, progress=progress)
        case ClaimPhase.QUARANTINED:
            return replace(instance, claim=claim, progress=progress)
        case _:
            assert_never(claim.phase)


def see_successor_called(instance: Instance, now: datetime) -> Instance:
    """Another run was requested, because this one runs on the instance."""
    return replace(instance, progress=replace(instance.progress, hand_over=HandOver(now)))


def see_successor(instance: Instance, task: TaskArn) -> Instance:
    """The other run was seen on another host."""
    asked = instance.progress.hand_over
    assert asked is not None
    return replace(instance, progress=replace(instance.progress, hand_over=replace(asked, task=task)))


def see_drain_sent(
    instance: Instance,
    now: datetime,
    deficits: Mapping[ServiceArn, int],
    running: Mapping[ServiceArn, int] | None = None,
    *,
    confirmed: bool,
) -> Instance:
    """A drain was sent; `confirmed` says whether ECS confirmed it. `running` are the tasks of each service."""
    names = tuple(sorted(instance.names_of(instance.tasks_left)))
    drain = SentDrain(now, names, instance.services_to_move, dict(deficits), running)
    progress = replace(instance.progress, drain=drain, drain_seen=confirmed)
    return replace(instance, progress=progress)


def see_return_sent(instance: Instance, now: datetime, outcome: Outcome, *, confirmed: bool) -> Instance:
    """A return was sent; `confirmed` says whether ECS's reply shows it ACTIVE."""
    progress = replace(instance.progress, sent_return=SentReturn(now, outcome, confirmed))
    registration = instance.registration
    if confirmed and registration is not None:
        registration = replace(registration, status=Status.ACTIVE)
    return replace(instance, registration=registration, progress=progress)
