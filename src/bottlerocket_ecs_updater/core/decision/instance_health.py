"""The health of a container instance after its update, as ECS's own health checks report it.

ECS checks the container runtime of every instance, and reports the most severe result of all checks:

    IMPAIRED            a check failed. It counts against the update, unless it was so before the drain
    INSUFFICIENT_DATA   a check has no data: wait for a while, then continue without it
    INITIALIZING        the checks have just started: the same
    OK                  all checks pass

An agent before 1.57 reports nothing, and one that cannot reach ECS's telemetry endpoint never has data. So the updater
waits for a result for at most `HEALTH_WAIT`, and not at all if there was none before the drain. A result from before
the boot says nothing about it. Source: "Monitor Amazon ECS container instance health".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.trials import on_trial
from bottlerocket_ecs_updater.core.model.container_instance import HealthStatus, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed

IMPAIRED_FOR = timedelta(minutes=2)
"""ECS checks every few seconds; a container runtime that is starting may be impaired for a moment."""

IMPAIRED_OFTEN = 3
"""An instance that became IMPAIRED this often since its update flaps, however short each time is.

The same goes for several instances together, if each became IMPAIRED after it was updated to one version and had
returned to service.
"""

HEALTHY_FOR = timedelta(minutes=1)
"""How long an instance that was IMPAIRED after its boot must not be IMPAIRED before it returns to service."""

HEALTH_WAIT = timedelta(minutes=2)
"""How long after its boot the result of the health checks is awaited."""


def impaired_by_update(instance: Instance) -> str:
    """Why ECS reports it as IMPAIRED since its reboot; empty if it does not, or did before."""
    registration = instance.registration
    found = registration.impaired if registration is not None and not instance.progress.was_impaired else ""
    return f"ECS reports it as IMPAIRED: {found}" if found else ""


def unhealthy_until(instance: Instance, now: datetime) -> datetime | None:
    """Until when an instance that was IMPAIRED since its boot must stay healthy; None if it was not, or long enough."""
    progress = instance.progress
    impaired, new_boot = progress.impaired, progress.new_boot
    if impaired is None or new_boot is None or impaired.last_at < new_boot.asked_at or progress.was_impaired:
        return None
    return None if has_passed(impaired.last_at, HEALTHY_FOR, now) else impaired.last_at + HEALTHY_FOR


def awaited_health(instance: Instance, since: datetime, now: datetime) -> str:
    """Why the result of its health checks is awaited, since its boot; empty if there is one, or none will come."""
    registration = instance.registration
    if registration is None or instance.progress.health_before is None or has_passed(since, HEALTH_WAIT, now):
        return ""
    health = registration.health
    if health is None:
        return "ECS reports no health status yet"
    if health.status in (HealthStatus.INITIALIZING, HealthStatus.INSUFFICIENT_DATA):
        return f"its ECS health status is {health}"
    sent_at = instance.progress.reboot_sent_at
    stale = health.updated_at is not None and sent_at is not None and health.updated_at < sent_at
    return "its ECS health status is from before its reboot" if stale else ""


def long_impaired(instance: Instance, fleet: Fleet) -> bool:
    """Whether it has been IMPAIRED for `IMPAIRED_FOR`, or again and again, which it was not before its update."""
    impaired, registration = instance.progress.impaired, instance.registration
    if impaired is None or impaired.since is None or registration is None or _was_impaired(instance, fleet):
        return False
    lasts = has_passed(impaired.since, IMPAIRED_FOR, fleet.at) or impaired.times >= IMPAIRED_OFTEN
    return lasts and registration.connected and registration.status is not Status.INACTIVE


def impaired_in_turn(hosts: Collection[Instance], fleet: Fleet) -> Sequence[Instance]:
    """The hosts of one version that became IMPAIRED after their updates, one after the other; empty if they are few.

    If an instance that was not updated became IMPAIRED too, the version need not be the cause.
    """
    updated = {one.id for one in hosts}
    if any(_impaired_without_update(one, updated, fleet) for one in fleet.instances.values()):
        return ()
    found = [one for one in hosts if _impaired_after_return(one, fleet)]
    times = sum(one.progress.impaired.times for one in found if one.progress.impaired is not None)
    now = any(one.progress.impaired_since is not None for one in found)
    return found if now and times >= IMPAIRED_OFTEN else ()


def _impaired_without_update(instance: Instance, updated: Collection[InstanceId], fleet: Fleet) -> bool:
    """Whether it became IMPAIRED on the version that it ran before its update, if it was updated at all."""
    if _was_impaired(instance, fleet):
        return True
    return instance.id not in updated and instance.claim is None and instance.progress.impaired is not None


def _impaired_after_return(instance: Instance, fleet: Fleet) -> bool:
    impaired, update = instance.progress.impaired, fleet.past.updated.get(instance.id)
    after = impaired is not None and update is not None and impaired.last_at > update.at
    return after and not _was_impaired(instance, fleet)


def impaired_on_trial(this_pass: Pass) -> Sequence[Instance]:
    """The hosts on trial that ECS reports as IMPAIRED now and that were not before their drain."""
    return this_pass.once(_impaired_on_trial)


def _impaired_on_trial(this_pass: Pass) -> Sequence[Instance]:
    fleet = this_pass.fleet
    hosts = (fleet.instances[id_] for id_ in on_trial(fleet))
    return [one for one in hosts if one.progress.impaired_since is not None and not _was_impaired(one, fleet)]


def _was_impaired(instance: Instance, fleet: Fleet) -> bool:
    """Whether it was IMPAIRED before its update, by this run or an earlier one."""
    update = fleet.past.updated.get(instance.id)
    return instance.progress.was_impaired or (update is not None and update.impaired_before)
