"""An event as one sentence for people."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from bottlerocket_ecs_updater.core.model import event as e
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostProblem, HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.time_text import measured_text, time_text, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.report.words.event_fields import event_fields


def event_text(event: e.Event) -> str:
    """What happened, without the time and the instance. Not sanitized."""
    if isinstance(event, e.InstanceEvent):
        return _of_instance(event) or _bare(event)
    return _of_run(event) or _of_waits(event) or _of_what_is_kept(event) or _bare(event)


def version_change(source: Version, target: Version) -> str:
    """The old and the new version, marked if it is a downgrade."""
    downgrade = " (a downgrade: the update repository withdrew the newer one)" if target < source else ""
    return f"{source} → {target}{downgrade}"


def _of_run(event: e.Event) -> str:
    match event:
        case e.RunStarted(run=run, cluster=cluster, updater_version=version):
            return f"run {run} of updater {version} started on cluster {cluster}"
        case e.ClusterLooked(instances=instances, bottlerocket=ours, services=services):
            return f"the cluster has {instances} instances, {ours} of them Bottlerocket, and {services} services"
        case e.HealthChanged(unwell=unwell):
            return f"no new drains until this is healthy: {unwell}" if unwell else "all health checks pass again"
        case e.RuleOff(rule=rule, why=why):
            return f"ignoring the rule {rule!r}, which cannot be applied: {why}"
        case e.VersionSeen(version=version, first_seen=at):
            return f"{version} was first seen {time_text(at)}"
        case e.VersionWithdrawn(build=build, version=version, latest=latest, since=since):
            now = f"since {time_text(since)}, the newest published version of {build} is {latest} again"
            return f"{version} was withdrawn: {now}"
        case e.ActDenied(action=action, why=why):
            return f"{action} is not allowed for the task role; this run continues without it: {why}"
        case e.RunHalted(why=why):
            return f"HALTED, starting no more updates: {why}"
        case e.RunStopping(why=why):
            return f"stopping: {why}"
        case e.RunFinished(outcome=outcome, took=took):
            return f"finished after {measured_text(took)}: {outcome.value}"
        case _:
            return ""


def _until(until: datetime | None) -> str:
    return f" (until {write_time(until)[11:19]}Z at the latest)" if until is not None else ""


def _of_waits(event: e.Event) -> str:
    match event:
        case e.LookPostponed(why=why, for_=length):
            again = measured_text(length)
            since = f" since {write_time(event.since)[11:19]}Z" if event.since is not None else ""
            limit = f", giving up at {write_time(event.until)[11:19]}Z" if event.until is not None else ""
            return f"no progress{since}; retrying in {again}{limit}: {why}"
        case e.WaitBegan(what=what, until=until):
            return f"waiting for {what}{_until(until)}"
        case e.UpdatesPaused(why=why):
            return f"PAUSED {why}. No new updates start; updates in progress are finished"
        case e.UpdatesResumed(was=was):
            return f"updates were resumed; they had been paused {was}"
        case _:
            return ""


def _of_what_is_kept(event: e.Event) -> str:
    match event:
        case e.OutputFailed(what=what, why=why):
            return f"{what} could not be written; the run continues: {why}"
        case e.StateUnreadable(key=key, why=why):
            return f"{key} in the state store cannot be read; the run continues without it: {why}"
        case e.StandingPublished(stage=stage, version=version, trouble=trouble):
            place = f", as a cluster of stage {stage}" if stage else ""
            reached = (
                f"every instance runs {version} or newer"
                if version is not None
                else "not every instance has reported its version"
            )
            return f"reported to other clusters{place}: {reached}" + (f"; not healthy: {trouble}" if trouble else "")
        case e.LeaseTaken(epoch=epoch, from_whom=whom, warning=warning):
            taken = f"lease acquired (epoch {epoch})"
            return (
                taken
                + (f", taken over from {whom}, whose lease expired" if whom else "")
                + (f": {warning}" if warning else "")
            )
        case e.LeaseRefused(holder=holder, since=since):
            return f"another run holds the lease: {holder}" + (f", since {time_text(since)}" if since else "")
        case _:
            return ""


def _of_instance(event: e.InstanceEvent) -> str:  # noqa: C901, PLR0912 - one sentence for each event
    match event:
        case e.HostChecked(answer=answer):
            return _answer(answer)
        case e.CommandSent(kind=kind, command=command):
            return f"{kind.value} sent, command {command}"
        case e.PhaseEntered(phase=phase, before=before, took=took):
            return f"{before.value} → {phase.value}" + (f" after {measured_text(took)}" if took is not None else "")
        case e.Claimed(source=source, target=target):
            return f"claimed, {version_change(source, target)}"
        case e.ClaimFound(phase=phase, run=run, since=since):
            return f"run {run} left it {phase}, since {time_text(since)}; finishing it first"
        case e.Drained(tasks=int(tasks)):
            return f"draining, with {counted(tasks, 'task')} of services to move"
        case e.Drained():
            return "draining"
        case e.Rebooted(version=version, took=took):
            return f"rebooted into {version}" + (f" in {measured_text(took)}" if took is not None else "")
        case e.Returned(out_of_service=out):
            return "back in service" + (f" after {measured_text(out)}" if out is not None else "")
        case e.Settled(took=took):
            return f"services are steady, {measured_text(took)} after its return"
        case e.InstanceHeld(hold=hold):
            return f"held: {hold}"
        case e.InstanceLost(version=version, after=after):
            return (
                f"left the cluster {measured_text(after)} after its update to {version}: keep the AMI of its launch "
                "template current, or its replacement is updated again"
            )
        case e.InstanceUpdated(source=source, target=target):
            return f"updated {version_change(source, target)}"
        case e.InstanceFailed(failure=failure):
            return f"failed: {failure}. To do: {failure.remedy}"
        case e.InstanceQuarantined(failure=failure):
            return f"QUARANTINED, left out of service: {failure}. To do: {failure.remedy}"
        case e.SuccessorCalled():
            return "the updater's own task runs on it: starting another run on another host"
        case e.ActUnclear(act=act, why=why):
            return f"AWS did not say whether {act} took effect, checking again: {why}"
        case _:
            return ""


def _answer(answer: HostAnswer) -> str:
    match answer:
        case HostProblem(problem=problem, detail=detail):
            return f"the check returned no report ({problem.value}): {detail}"
        case HostReport(state=UpdateState.IDLE, running=running):
            return f"runs {running}, no update"
        case HostReport(state=state, running=running, target=target):
            return f"runs {running}, {state.value.lower()} {target}"
        case _:
            assert_never(answer)


def _bare(event: e.Event) -> str:
    """The facts of an event that has no sentence."""
    return f"{event.name} " + " ".join(
        f"{name}={fact}" for name, fact in event_fields(event).items() if name != "instance"
    )
