"""The state of a cluster as a person reads it: who runs what, what is open, which instances back off, who may act."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from bottlerocket_ecs_updater.core.decision.admission import hold_for_broken, is_suspect
from bottlerocket_ecs_updater.core.decision.blockers import hold_for_blocker, tried_again
from bottlerocket_ecs_updater.core.decision.claimed.quarantine import still_quarantined
from bottlerocket_ecs_updater.core.decision.stuck import RUNS_IN_A_ROW
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import ANY_REASON, Blocker, LastingHold
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UNTIL_CLEARED, RunOutcome
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, time_text, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.planning.behind import Behind, behind
from bottlerocket_ecs_updater.core.planning.launch_advice import advise
from bottlerocket_ecs_updater.core.rules.published import build_of
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.engine.lease.lease_note import LeaseNote
from bottlerocket_ecs_updater.report.views.advice import advice_json, advice_lines
from bottlerocket_ecs_updater.report.views.held import held_json, held_lines
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

STATUS_SCHEMA = 1
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewestRun:
    """The newest recorded run."""

    run: RunId
    outcome: RunOutcome | None
    """None if it has not ended or was killed."""
    began: datetime | None
    ended: datetime | None
    why: str
    counts: dict[str, int]
    recorded: datetime | None = None
    """When its last event so far was; None if it left none."""
    ending: str = ""
    """How it ended, in the words of `history`, the index and the page; empty while it has not ended."""
    held: Mapping[InstanceId, Hold] = field(default_factory=dict)
    """The instances that it held at its end, and why."""


@dataclass(frozen=True, slots=True)
class NextRun:
    """When the next run is likely to start. The updater does not know its schedule."""

    at: datetime
    every: timedelta


RHYTHM_RUNS = 4
"""How many runs must have started at even intervals before the next one is predicted."""

RHYTHM_SHARE = 0.1
"""How far an interval may be from the median."""


def next_run(began: Sequence[datetime], now: datetime) -> NextRun | None:
    """Predict the next run from the start times of past runs, in order; None if they are not regular."""
    last = began[-RHYTHM_RUNS:]
    spacings = [after - before for before, after in pairwise(last)]
    if len(last) < RHYTHM_RUNS:
        return None
    every = sorted(spacings)[len(spacings) // 2]
    even = all(abs(spacing - every) <= every * RHYTHM_SHARE for spacing in spacings)
    # A run that is long overdue does not follow that schedule any more.
    due = last[-1] + every
    return NextRun(due, every) if even and every and now - due < every else None


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Everything that is known about a cluster without checking hosts."""

    cluster: str
    fleet: Fleet
    ledger: Ledger
    lease: LeaseNote | None
    last: NewestRun | None
    kept: bool
    """Whether there is a state store."""
    next_run: NextRun | None = None
    """None if the last runs are not regular."""


def status_text(status: ClusterStatus) -> str:
    """The status as text; what needs a person comes first."""
    return "\n".join(_lines(status)) + "\n"


def _lines(status: ClusterStatus) -> Iterator[str]:
    fleet = status.fleet
    ours = [instance for instance in fleet.instances.values() if instance.bottlerocket]
    of_all = f"{len(ours)} Bottlerocket instances of {len(fleet.instances)}"
    yield f"Cluster {status.cluster}, {fleet.at:%Y-%m-%d %H:%M:%S} UTC: {of_all}"
    yield from _needs_a_person(status)
    yield from _table("Versions", Counter(_version(instance) for instance in ours))
    yield from _behind_lines(ours, status)
    yield from _table("Phases", Counter(_phase(instance, status) for instance in ours))
    yield from _table("In ECS", Counter(_ecs_status(instance) for instance in ours))
    yield from _zones(ours)
    yield from _open_claims(fleet)
    yield from _backoffs(status)
    yield from held_lines(status.last.held if status.last is not None else {})
    yield from advice_lines(advise(fleet))
    yield from _who_acts(status)


def _needs_a_person(status: ClusterStatus) -> Iterator[str]:
    if status.fleet.paused:
        yield f"  PAUSED       {sanitize(status.fleet.paused)}: `resume` allows updates again"
    quarantined = [i for i in status.fleet.instances.values() if i.claim and phase_of(i) is Phase.QUARANTINED]
    for instance in quarantined:
        if instance.claim is not None:
            failure = still_quarantined(instance, instance.claim)
            what = f"updating to {instance.claim.target}: {sanitize(str(failure))}"
            yield f"  QUARANTINED  {instance.id}  {what}; to do: {failure.remedy}"
    for version, broken in sorted(status.ledger.broken.items()):
        why = hold_for_broken(version, broken)
        yield f"  SUSPECT      {sanitize(str(why))}; to do: {why.remedy}"
    yield from _withdrawn(status)
    for group, one in sorted(status.ledger.blockers.items()):
        yield _blocker(group, one)
    yield from _stuck(status.ledger.waiting)
    for version, names in sorted(status.ledger.failed_on.items()):
        if version in status.ledger.broken:
            continue
        yield _failed_version(version, names, status.ledger.suspect_after)


def _stuck(waiting: Mapping[str, LastingHold]) -> Iterator[str]:
    """The reasons that stopped several runs in a row; if each run found another one, that."""
    lasting = {code: one for code, one in sorted(waiting.items()) if one.runs >= RUNS_IN_A_ROW}
    named = {code: one for code, one in lasting.items() if code != ANY_REASON}
    for code, one in (named or lasting).items():
        why = "for one reason after another" if code == ANY_REASON else code
        yield f"  STUCK        {one.runs} runs in a row could start no update, since {time_text(one.since)}: {why}"


def _withdrawn(status: ClusterStatus) -> Iterator[str]:
    """The versions that a public parameter named, and names no more."""
    for parameter, one in sorted(status.ledger.published.items()):
        if one.back_at is not None:
            since = time_text(one.back_at)
            what = f"AWS moved the newest published version of {build_of(parameter)} back, seen {since}"
            yield f"  WITHDRAWN    {one.version}: {what}; read why in Bottlerocket's release notes"


def _blocker(group: str, one: Blocker) -> str:
    """What blocked drains, and when the next one is tried, in the words of the hold."""
    why = hold_for_blocker(group, one)
    facts = dict(why.facts)
    kept = f"tasks of {group} made a drain time out {facts['times']}, since {facts['since']}, last on {one.instance}"
    until = f"one of their hosts is tried again after {time_text(tried_again(one))}, or sooner if they are deployed"
    return f"  BLOCKED      {sanitize(f'{kept}; {until}; to do: {why.remedy}')}"


def _failed_version(version: Version, names: Collection[InstanceId], suspect_after: int) -> str:
    """A version that failed, and whether it is suspect, by the same rule as in a run."""
    where = ", ".join(sorted(names))
    if is_suspect(len(names), suspect_after):
        to_do = hold(Reason.VERSION_SUSPECT, version=version, count=len(names)).remedy
        return f"  SUSPECT      {version} failed on {where}: no other instance is updated to it; to do: {to_do}"
    rest = f"other instances still get it until it has failed on {suspect_after}"
    return f"  FAILED       {version} failed on {where}; {rest}"


def _behind_lines(ours: list[Instance], status: ClusterStatus) -> Iterator[str]:
    """How many instances are how far behind, the furthest first."""
    counts = Counter(one for instance in ours if (one := _late(instance, status)) is not None)
    if counts:
        yield "\nBehind"
    for one, count in sorted(counts.items(), key=lambda item: (item[0].since, str(item[0].newest))):
        yield (
            f"  {counted(count, 'instance')} {one.since_when(status.fleet.at)}: a newer version was "
            f"first seen {time_text(one.since)}, and {one.newest} is offered"
        )


def _late(instance: Instance, status: ClusterStatus) -> Behind | None:
    """How far behind it is, by what its host was offered when a run last checked it."""
    offered = status.ledger.offered.get(instance.id)
    return behind(instance.shown_version, offered, status.ledger.first_seen)


def _table(title: str, counts: Counter[str]) -> Iterator[str]:
    if counts:
        yield f"\n{title}"
        width = max(len(name) for name in counts)
        for name, count in sorted(counts.items()):
            yield f"  {sanitize(name):<{width}}  {count}"


def _phase(instance: Instance, status: ClusterStatus) -> str:
    """Its phase, as far as it is known without checking hosts."""
    if instance.claim is not None:
        return str(phase_of(instance).value)
    backoff = status.ledger.backoffs.get(instance.id)
    if backoff is not None and backoff.until > status.fleet.at:
        return "backing-off"
    return "idle (`plan` asks the hosts for updates)"


def _zones(ours: list[Instance]) -> Iterator[str]:
    """Each zone with the versions that its instances run."""
    zones: dict[str, Counter[str]] = {}
    for instance in ours:
        version = str(instance.shown_version) if instance.shown_version is not None else UNKNOWN
        zones.setdefault(instance.zone or UNKNOWN, Counter())[version] += 1
    if zones:
        yield "\nZones"
        width = max(map(len, zones))
        for zone, versions in sorted(zones.items()):
            shares = ", ".join(_share(count, version) for version, count in sorted(versions.items()))
            yield f"  {sanitize(zone):<{width}}  {versions.total()}: {shares}"


def _share(count: int, version: str) -> str:
    return f"{count} {version}" if version == UNKNOWN else f"{count} on {version}"


def _version(instance: Instance) -> str:
    if instance.shown_version is None:
        return f"{UNKNOWN} (older than 1.7.0, or not in Systems Manager)"
    return str(instance.shown_version)


def _ecs_status(instance: Instance) -> str:
    registration = instance.registration
    if registration is None:
        return f"not described ({instance.undescribed})" if instance.undescribed else "gone"
    agent = "" if registration.connected else ", agent disconnected"
    ours = ", by the updater" if instance.claim is not None and registration.status is Status.DRAINING else ""
    return f"{registration.status.value}{ours}{agent}"


def _open_claims(fleet: Fleet) -> Iterator[str]:
    claimed = [instance for instance in fleet.instances.values() if instance.claim is not None]
    if claimed:
        yield "\nOpen claims"
    for instance in sorted(claimed, key=lambda each: each.id):
        claim = instance.claim
        if claim is not None:
            age = duration_text(timedelta(seconds=max(0, int((fleet.at - claim.since).total_seconds()))))
            way = f"{claim.source} → {claim.target}"
            yield f"  {instance.id}  {phase_of(instance).value:<12} {way}  run {claim.run}, for {age}"


def _backoffs(status: ClusterStatus) -> Iterator[str]:
    current = {id_: backoff for id_, backoff in status.ledger.backoffs.items() if backoff.until > status.fleet.at}
    if current:
        yield "\nBacking off"
    for id_, backoff in sorted(current.items()):
        until = f"until {UNTIL_CLEARED}" if backoff.rolled_back else f"until {time_text(backoff.until)}"
        attempts = counted(backoff.attempts, "attempt")
        yield f"  {id_}  {attempts} at {backoff.version} (last: {backoff.why}); {until}"


def _who_acts(status: ClusterStatus) -> Iterator[str]:
    if not status.kept:
        yield "\nWithout a state store (--state), the lease, backoffs and past runs are not known."
        return
    lease = status.lease
    if lease is None or lease.released:
        yield "\nNo run holds the lease."
    else:
        since = f" since {lease.since:%Y-%m-%d %H:%M:%S} UTC" if lease.since else ""
        yield f"\nThe lease is held by {sanitize(lease.holder)}{since} (a run, or one that was killed)."
    last = status.last
    if last is not None:
        yield f"Last run {last.run} {_last_run(last)}"
        if last.why:
            yield f"  {sanitize(last.why)}"
    else:
        yield "No run is recorded yet."
    yield _next_run(status)


def _last_run(last: NewestRun) -> str:
    if last.ended is None or last.outcome is None:
        recorded = f"; its last event is from {time_text(last.recorded)}" if last.recorded is not None else ""
        return f"is in progress, or was killed{recorded}."
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in last.counts.items() if count)
    return f"ended {time_text(last.ended)}: {last.ending}{'; ' + counts if counts else ''}"


def _next_run(status: ClusterStatus) -> str:
    if status.next_run is None:
        return "Next run: unknown, because `status` does not know the schedule."
    every = duration_text(status.next_run.every)
    return f"Next run: about {time_text(status.next_run.at)}, if runs keep starting every {every}."


def status_json(status: ClusterStatus) -> dict[str, Any]:
    """The status as JSON values."""
    fleet, lease, last = status.fleet, status.lease, status.last
    return {
        "schema": STATUS_SCHEMA,
        "cluster": status.cluster,
        "at": write_time(fleet.at),
        "paused": fleet.paused or None,
        "instances": [_instance_json(instance, status) for _, instance in sorted(fleet.instances.items())],
        "backoffs": {
            id_: {
                "version": str(backoff.version),
                "attempts": backoff.attempts,
                "until": write_time(backoff.until) if not backoff.rolled_back else None,
                "why": backoff.why,
                "rolled_back": backoff.rolled_back,
            }
            for id_, backoff in sorted(status.ledger.backoffs.items())
        },
        "advice": advice_json(advise(fleet)),
        "broken": {
            str(version): {"hosts": list(one.hosts), "services": list(one.services), "words": one.words}
            for version, one in sorted(status.ledger.broken.items())
        },
        "blockers": {
            group: {"runs": one.times, "since": write_time(one.first), "last": write_time(one.last), "on": one.instance}
            for group, one in sorted(status.ledger.blockers.items())
        },
        "withdrawn": {
            build_of(parameter): {"version": str(one.version), "since": write_time(one.back_at)}
            for parameter, one in sorted(status.ledger.published.items())
            if one.back_at is not None
        },
        "waiting": {
            code: {"runs": one.runs, "since": write_time(one.since)}
            for code, one in sorted(status.ledger.waiting.items())
        },
        "suspects": {
            str(version): sorted(names)
            for version, names in status.ledger.failed_on.items()
            if is_suspect(len(names), status.ledger.suspect_after)
        },
        "failed_on": {str(version): sorted(names) for version, names in status.ledger.failed_on.items()},
        "lease": None
        if lease is None or lease.released
        else {"holder": lease.holder, "since": write_time(lease.since) if lease.since else None, "epoch": lease.epoch},
        "next_run": None
        if status.next_run is None
        else {"at": write_time(status.next_run.at), "every_seconds": status.next_run.every.total_seconds()},
        "last_run": None
        if last is None
        else {
            "run": last.run,
            "outcome": last.outcome.value if last.outcome is not None else "",
            "ended": write_time(last.ended) if last.ended else None,
            "last_event": write_time(last.recorded) if last.recorded else None,
            "why": last.why,
            "counts": last.counts,
            "held": held_json(last.held),
        },
    }


def _instance_json(instance: Instance, status: ClusterStatus) -> dict[str, Any]:
    registration, claim = instance.registration, instance.claim
    late = _late(instance, status)
    return {
        "instance": instance.id,
        "bottlerocket": instance.bottlerocket,
        "phase": phase_of(instance).value if claim is not None else None,
        "version": str(instance.shown_version) if instance.shown_version is not None else None,
        "days_behind": late.days(status.fleet.at) if late is not None else 0,
        "zone": instance.zone,
        "status": registration.status.value if registration is not None else None,
        "connected": registration.connected if registration is not None else None,
        "ssm": instance.ping or instance.reach.value,
        "claim": None
        if claim is None
        else {
            "phase": claim.phase.value,
            "run": claim.run,
            "source": str(claim.source),
            "target": str(claim.target),
            "since": write_time(claim.since),
        },
    }
