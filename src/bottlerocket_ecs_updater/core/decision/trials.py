"""The hosts whose tasks show whether containers run on a version: those that were updated to it, or launched with it.

Tasks that fail on a host that was launched from the version's AMI, or updated by hand, are evidence before the first
host is updated. But such a host may differ from others in more than its version: another architecture, or no GPUs. So
it is compared only with hosts of its kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.admission import not_admitted, offered_update
from bottlerocket_ecs_updater.core.decision.contrast import TasksAlike
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.container_instance import TYPE_ATTRIBUTE, VARIANT_ATTRIBUTE, Registration
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.published import ARCHITECTURE_ATTRIBUTE

ROLLOUT_LASTS = timedelta(days=7)
"""A host that was updated or launched longer ago has run tasks since then, and is no longer on trial."""

KIND_ATTRIBUTES = (VARIANT_ATTRIBUTE, ARCHITECTURE_ATTRIBUTE, TYPE_ATTRIBUTE)
"""Hosts with the same values of these attributes are of one kind."""

HostKind = tuple[str, ...]


def on_trial(fleet: Fleet) -> Mapping[InstanceId, tuple[Version, datetime]]:
    """The hosts that were updated to a version in this rollout and are in service, with the version and since when.

    Evidence from before a person released the version does not count again: its trial restarts with the release.
    """
    found: dict[InstanceId, tuple[Version, datetime]] = {}
    for id_, update in fleet.past.updated.items():
        instance = fleet.instances.get(id_)
        if instance is None or instance.claim is not None or has_passed(update.at, ROLLOUT_LASTS, fleet.at):
            continue
        report = instance.report
        if report is None or report.running == update.version:
            released = fleet.past.released.get(update.version, update.at)
            found[id_] = update.version, max(update.at, released)
    return found


@dataclass(frozen=True, slots=True)
class LaunchedHosts:
    """Hosts of one kind that run a version to which no run updated them, while others of the kind may get it."""

    version: Version
    since: Mapping[InstanceId, datetime]
    """Since when each has run the version, as far as is known."""
    like: frozenset[ContainerInstanceArn]
    """All registered hosts of the kind."""

    def alike(self, tasks: TasksAlike) -> TasksAlike:
        """Those of the tasks that were started on hosts of the kind."""
        return TasksAlike(
            [end for end in tasks.ended if end.where in self.like],
            [one for one in tasks.alive if one.where in self.like],
        )


def launched_hosts(this_pass: Pass) -> Sequence[LaunchedHosts]:
    """The hosts in service on a version that another host of their kind may be updated to, without those on trial."""
    return this_pass.once(_launched_hosts)


def _launched_hosts(this_pass: Pass) -> Sequence[LaunchedHosts]:
    fleet = this_pass.fleet
    candidates = _on_an_offered_version(fleet)
    offered = _offered(this_pass) if candidates else ()
    found: dict[tuple[Version, HostKind], dict[InstanceId, datetime]] = {}
    for instance, registration, version in candidates:
        key = version, host_kind(registration)
        since = _since(instance, registration, version, fleet) if key in offered else None
        if since is not None and not has_passed(since, ROLLOUT_LASTS, fleet.at):
            found.setdefault(key, {})[instance.id] = since
    return [LaunchedHosts(version, since, _like(kind, fleet)) for (version, kind), since in sorted(found.items())]


def _on_an_offered_version(fleet: Fleet) -> Sequence[tuple[Instance, Registration, Version]]:
    """The hosts in service that run what any other host is offered, without those on trial. Usually there are none."""
    reports = [report for one in fleet.instances.values() if (report := one.report) is not None]
    targets = {version for report in reports for version in (report.target, report.chosen)} - {None}
    if not any(report.running in targets for report in reports):
        return ()
    trial, found = on_trial(fleet), []
    for id_, instance in fleet.instances.items():
        version, registration = running(instance), instance.registration
        if version is not None and registration is not None and version in targets and id_ not in trial:
            found.append((instance, registration, version))
    return found


def running(instance: Instance) -> Version | None:
    """The version that a host in service reported; None for others."""
    registration, report = instance.registration, instance.report
    if registration is None or instance.claim is not None or report is None:
        return None
    return report.running if registration.in_service else None


def host_kind(registration: Registration) -> HostKind:
    """The kind of a host: tasks that run on one host of a kind should run on every other."""
    return tuple(registration.attributes.get(name, "") for name in KIND_ATTRIBUTES)


def _offered(this_pass: Pass) -> Collection[tuple[Version, HostKind]]:
    """The versions that hosts may be updated to now, each with the kind of these hosts."""
    found: dict[tuple[Version, HostKind], None] = {}
    for one in this_pass.fleet.instances.values():
        offered = offered_update(one, this_pass) if one.registration is not None else None
        if offered is None or one.registration is None:
            continue
        key = offered.target, host_kind(one.registration)
        if key not in found and not_admitted(one, offered.target, offered.report.running, this_pass) is None:
            found[key] = None
    return found.keys()


def _since(instance: Instance, registration: Registration, version: Version, fleet: Fleet) -> datetime:
    """Since when it has run the version: since its launch, unless a run knew it on another version.

    Evidence from before a person released the version does not count again.
    """
    found = fleet.past.found_on.get(instance.id)
    known_before = instance.id in fleet.past.updated
    at = found.at if known_before and found is not None and found.version == version else registration.registered_at
    return max(at, fleet.past.released.get(version, at))


def _like(kind: HostKind, fleet: Fleet) -> frozenset[ContainerInstanceArn]:
    hosts = (one.registration for one in fleet.instances.values() if one.registration is not None)
    return frozenset(one.arn for one in hosts if host_kind(one) == kind)
