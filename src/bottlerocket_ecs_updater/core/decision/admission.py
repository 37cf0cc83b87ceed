"""Whether an instance may be updated to a version now, by the operator's rules and by earlier failures."""

from __future__ import annotations

from dataclasses import dataclass

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UNTIL_CLEARED
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.promotion import block_on, not_promoted
from bottlerocket_ecs_updater.core.rules.published import hold_unless_published, published_parameter
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import admit

_TRIED_AGAIN = "wait until then, or clear the backoff with `release`"


@dataclass(frozen=True, slots=True)
class OfferedUpdate:
    """An update that a host offers, by its last report."""

    instance: Instance
    report: HostReport
    target: Version
    """The version that the instance would be updated to."""


def not_admitted(instance: Instance, target: Version, running: Version, this_pass: Pass) -> Hold | None:
    """Why the instance may not be updated to that version; None if it may. Checked before staging and before reboot."""
    fleet = this_pass.fleet
    rules, shared = rules_for(target, this_pass), fleet.shared
    return (
        block_on(target, shared.acts)
        or failed_before(instance, target, this_pass)
        or admit(target, running, rules.versions, fleet.past.first_seen, this_pass.at)
        or not_published(instance, target, this_pass)
        or not_promoted(target, rules.stages, shared, this_pass.at)
    )


def not_bootable(instance: Instance, report: HostReport, this_pass: Pass) -> Hold | None:
    """Why the version that is staged on a host must not be booted; None if it may be, or if none is ready to boot.

    A backoff after a failed drain does not count against the version.
    """
    if report.state is not UpdateState.READY or report.staged is None:
        return None
    if report.withdrawn:
        return hold(Reason.STAGED_WITHDRAWN, version=report.staged)
    why = not_admitted(instance, report.staged, report.running, this_pass)
    rests = why is not None and why.reason is Reason.BACKING_OFF
    rolled_back = instance.backoff is not None and instance.backoff.rolled_back
    return None if rests and not rolled_back else why


def target_of(instance: Instance, report: HostReport, this_pass: Pass) -> Version | None:
    """The version that a host would be updated to; None if there is none.

    If the staged version must not be booted, this is the one that the host would stage now in its place.
    """
    if report.chosen in (None, report.target) or not_bootable(instance, report, this_pass) is None:
        return report.target
    return report.chosen


def offered_update(instance: Instance, this_pass: Pass) -> OfferedUpdate | None:
    """The update that a host offers; None if it offers none, or has not reported."""
    report = instance.report
    target = target_of(instance, report, this_pass) if report is not None else None
    return OfferedUpdate(instance, report, target) if report is not None and target is not None else None


def not_published(instance: Instance, target: Version, this_pass: Pass) -> Hold | None:
    """Why a version is not published for an instance, or may not be; None if it is, or if any version is admitted."""
    fleet = this_pass.fleet
    if not this_pass.policy.rules.versions.published_only or instance.registration is None:
        return None
    parameter = published_parameter(instance.registration)
    return hold_unless_published(parameter, target, fleet.published, fleet.past.published, this_pass.at)


def said_against(broken: BrokenVersion) -> str:
    """The evidence as text: the services and the stop reasons of their tasks."""
    return f"{', '.join(broken.services)}: {broken.words}" if broken.services else broken.words


def hold_for_broken(version: Version, broken: BrokenVersion) -> Hold:
    """The hold for every instance that is offered a version on which tasks failed."""
    hosts = ", ".join(broken.hosts)
    what, since = said_against(broken), time_text(broken.at)
    return hold(Reason.VERSION_BREAKS_TASKS, version=version, hosts=hosts, what=what, since=since)


def is_suspect(failed_on: int, suspect_after: int) -> bool:
    """Whether a version that failed on that many instances is suspect. This is the only definition."""
    return failed_on >= suspect_after


def rules_for(target: Version, this_pass: Pass) -> Rules:
    """The operator's rules for one version; an expedited version skips some waits."""
    policy = this_pass.policy
    urgent = this_pass.fleet.shared.acts.expedited.get(target)
    if urgent is None:
        return policy.rules
    return policy.rules.expedited(windows=urgent.windows, freezes=urgent.freezes)


def failed_before(instance: Instance, target: Version, this_pass: Pass) -> Hold | None:
    """Why an earlier failure counts against the version, on this instance or on others; None if there is none."""
    fleet = this_pass.fleet
    rest = instance.backoff
    if rest is not None and (rest.version == target) and this_pass.at < rest.until:
        until = UNTIL_CLEARED if rest.rolled_back else time_text(rest.until)
        then = "find out why it failed, then clear the backoff with `release`" if rest.rolled_back else _TRIED_AGAIN
        return hold(Reason.BACKING_OFF, until=until, attempts=rest.attempts, version=target, why=rest.why, then=then)
    broken = fleet.past.broken.get(target)
    if broken is not None:
        return hold_for_broken(target, broken)
    count = fleet.suspects.get(target, 0)
    if is_suspect(count, this_pass.policy.suspect_after):
        return hold(Reason.VERSION_SUSPECT, version=target, count=count)
    return None
