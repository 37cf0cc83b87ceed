"""Evidence from tasks against a version that boots but on which containers fail.

A host that is back shows that the version boots. Only tasks can show whether containers run on it. So the hosts that
were updated to the version in this rollout, or launched with it, are watched (`trials.py`): tasks that failed to start,
exited with an error or stay PENDING count against it. On updated hosts, so do ECS health checks that find the container
instance IMPAIRED. Whether the version is the cause, or the service itself, `contrast.py` decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.affected import services_on_hosts
from bottlerocket_ecs_updater.core.decision.contrast import (
    ENDED_AT_ONCE,
    FAILED_TASKS,
    TasksAlike,
    Trial,
    blamed_on_version,
    span_of,
    started_apart,
)
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.trials import launched_hosts, on_trial
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.container_instance import EXITED, LiveTask, TaskEnd
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version

KILLED = frozenset({None, 137, 143})
"""Exit codes of containers that were killed, or whose end the ECS agent did not see."""

TASK_PENDING_FOR = timedelta(minutes=5)
"""Large images take minutes to pull; the ECS agent itself gives up on a start after three minutes."""

EVIDENCE_FRESH = timedelta(seconds=45)
"""How old the look at services may be when a host is rebooted into a version that others already run."""

CARRIED_FOR, EVIDENCE_FRESH_LATER = timedelta(minutes=8), timedelta(seconds=80)
"""After a version has run tasks for `CARRIED_FOR`, the look at services may be older."""

HOSTS_NAMED, TASKS_NAMED = 3, 2

LOSING_ASKED = 20
"""How many services a run asks at its start how their tasks ended: a service that is scaled up looks the same."""

InstanceNames = Mapping[ContainerInstanceArn, InstanceId]


def evidence_is_old(claim: Claim, this_pass: Pass, fresh: timedelta = EVIDENCE_FRESH) -> bool:
    """Whether services must be described before another host is rebooted into a version that is on trial.

    Its tasks have probably moved to hosts on trial, and the updater has not read since how they run there.
    """
    fleet = this_pass.fleet
    services = fleet.services
    unread = services is not None and services.ends_unread
    if services is not None and not unread and not has_passed(services.at, fresh, fleet.at):
        return False
    came = this_pass.once(_tried_since).get(claim.target)
    if came is None:
        return False
    carried = has_passed(came, CARRIED_FOR, fleet.at)
    return services is None or unread or not carried or has_passed(services.at, EVIDENCE_FRESH_LATER, fleet.at)


def _tried_since(this_pass: Pass) -> Mapping[Version, datetime]:
    """Since when hosts have run each version that is on trial.

    If hosts were updated to it, those launched with it do not count: they may differ in more than the version.
    """
    launched = _earliest((one.version, at) for one in launched_hosts(this_pass) for at in one.since.values())
    return {**launched, **_earliest(on_trial(this_pass.fleet).values())}


def _earliest(tries: Iterable[tuple[Version, datetime]]) -> Mapping[Version, datetime]:
    since: dict[Version, datetime] = {}
    for version, at in tries:
        since[version] = min(at, since.get(version, at))
    return since


def suspicious(fleet: Fleet, starts_before: Mapping[ServiceArn, int]) -> tuple[Service, ...]:
    """The services that lose more tasks than before the first drain, and more than our drains explain.

    One task each of several services is as suspicious as several tasks of one. The way they ended shows whether they
    failed.
    """
    services = fleet.all_services
    moving: Counter[str] = Counter()
    in_progress = len(fleet.slots)
    for one in fleet.instances.values():
        if one.claim is not None:
            in_progress += 1
            # Once it has no more tasks, ECS has stopped as many as it started in their place.
            moving.update({} if _is_empty(one) else one.progress.moving)
    # A daemon service stops a task at each drain and starts one at each return, which events show only in part.
    moving.update({one.name: 2 * in_progress for one in services if one.daemon})
    lost = {
        one: one.extra_starts - starts_before[one.arn] - moving[one.name]
        for one in services
        if one.arn in starts_before
    }
    losing = {one: count for one, count in lost.items() if count > 0}
    return tuple(losing) if sum(losing.values()) >= FAILED_TASKS else ()


def _is_empty(instance: Instance) -> bool:
    registration = instance.registration
    return registration is not None and not registration.counted_tasks


def losing_on_trial(trial: Iterable[InstanceId], fleet: Fleet) -> frozenset[str]:
    """Services that may run on these hosts, if they started more tasks than they stopped in the last hour.

    On a first host, before a checkpoint, tasks may fail only once an hour: too rarely for the service to count as
    unsteady. If they fail at once, ECS waits before it starts the next one, so none may be on the host now.
    """
    started_more = [one for one in fleet.all_services if one.extra_starts]
    losing = list(services_on_hosts(started_more, [fleet.instances[id_] for id_ in trial])) if started_more else []
    losing.sort(key=lambda one: (-one.extra_starts, one.name))
    enough = sum(one.extra_starts for one in losing) >= FAILED_TASKS
    return frozenset(one.name for one in losing[:LOSING_ASKED]) if enough else frozenset()


def broken_by_ends(trial: Trial, names: InstanceNames, tasks: TasksAlike, now: datetime) -> BrokenVersion | None:
    """The evidence of stopped tasks against a version; None if there is not enough, or if the version is not the cause.

    `names` are the ids of the hosts on trial for it.
    """
    blamed = sorted(blamed_on_version(trial, tasks, now), key=lambda end: end.stopped_at)
    against = _without_killed_by_hosts(blamed)
    if len(against) < FAILED_TASKS or _may_be_of_host(against):
        return None
    return BrokenVersion(_named(names[end.where] for end in against), _services(against), _words(against), now)


def _without_killed_by_hosts(ends: Sequence[TaskEnd]) -> Sequence[TaskEnd]:
    """Those that were not killed together with all others of their host, as by a reboot: two hosts may both reboot."""
    by_host: dict[ContainerInstanceArn, list[TaskEnd]] = {}
    for end in ends:
        by_host.setdefault(end.where, []).append(end)
    killed = {where for where, there in by_host.items() if len(there) >= FAILED_TASKS and _killed_together(there)}
    return [end for end in ends if end.where not in killed]


def _killed_together(ends: Sequence[TaskEnd]) -> bool:
    return _ended_together(ends) and all(map(_was_killed, ends))


def _may_be_of_host(ends: Sequence[TaskEnd]) -> bool:
    """Whether these tasks may all have ended with their host, or with something else that they share."""
    return _ended_together(ends) and (any(map(_was_killed, ends)) or started_apart(ends))


def _ended_together(ends: Sequence[TaskEnd]) -> bool:
    return span_of(end.stopped_at for end in ends) < ENDED_AT_ONCE


def _was_killed(end: TaskEnd) -> bool:
    return end.code == EXITED and end.exit_code in KILLED


def _services(ends: Sequence[TaskEnd]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(end.group for end in ends))[:HOSTS_NAMED]


def _words(ends: Sequence[TaskEnd]) -> str:
    said = dict.fromkeys(end.why for end in ends)
    return "; ".join(list(said)[:TASKS_NAMED])


def _named(hosts: Iterable[InstanceId]) -> tuple[InstanceId, ...]:
    return tuple(sorted(set(hosts)))


def long_pending(instance: Instance) -> bool:
    """Whether every look for `TASK_PENDING_FOR` has found tasks on it that should run but do not.

    The last of these looks must be at least that long after the first: a host that was not looked at since may have
    been stopped.
    """
    since, registration = instance.progress.pending_since, instance.registration
    return since is not None and registration is not None and has_passed(since, TASK_PENDING_FOR, registration.at)


def lost_gpus(instance: Instance) -> str:
    """How many of its GPUs are missing since its reboot; empty if none is, or if that is not known."""
    registration, before = instance.registration, instance.progress.gpus_before
    left = registration.remaining if registration is not None and registration.connected else None
    if instance.progress.new_boot is None or not before or left is None or left.gpus >= before:
        return ""
    return f"it registered with {left.gpus} of its {before} GPUs"


def broken_by_loss(instance: Instance, now: datetime) -> BrokenVersion:
    """The evidence of missing GPUs on a host that has booted a version.

    The host is returned, because it can run other tasks.
    """
    return BrokenVersion(_named([instance.id]), (), lost_gpus(instance), now)


def broken_by_pending(waiting: Sequence[LiveTask], names: InstanceNames, now: datetime) -> BrokenVersion:
    """The evidence of tasks that stay PENDING on these hosts against their version."""
    since = min(one.launched_at for one in waiting)
    groups = tuple(sorted({one.group for one in waiting}))[:HOSTS_NAMED]
    words = f"tasks have been PENDING there since {since:%H:%M} UTC"
    return BrokenVersion(_named(names[one.where] for one in waiting), groups, words, now)


def broken_by_health(hosts: Collection[Instance], now: datetime) -> BrokenVersion:
    """The evidence of ECS health checks on these hosts against their version."""
    why = next((one.registration.impaired for one in hosts if one.registration and one.registration.impaired), "")
    return BrokenVersion(_named(one.id for one in hosts), (), f"the container instance is IMPAIRED: {why}", now)
