"""The run: look, decide, act and record, until no more can be done now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide, starts_updates
from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.polling import (
    apart,
    is_crowd,
    is_prompt,
    services_apart,
    shared_look,
    soon_interval,
)
from bottlerocket_ecs_updater.core.decision.stuck import failed_drains, said, stuck_on, waiting_codes
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import left_out
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import newly_found
from bottlerocket_ecs_updater.core.model.event import (
    ClaimFound,
    InstanceHeld,
    OutputFailed,
    PhaseEntered,
    RuleOff,
    RunFinished,
    RunHalted,
    RunStarted,
    RunStopping,
    StateUnreadable,
    UpdatesPaused,
    UpdatesResumed,
    VersionSeen,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId, OwnTask, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome, count
from bottlerocket_ecs_updater.core.model.phase import IN_PROGRESS, Phase, phase_of
from bottlerocket_ecs_updater.core.model.published import Published
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.shared import LastRun
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.cluster_standing import Seen, published
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import (
    with_found,
    with_offer,
    with_published,
    with_sighting,
    with_suspect_after,
    with_waiting,
    without_gone,
)
from bottlerocket_ecs_updater.engine.act.executor import Executor
from bottlerocket_ecs_updater.engine.lease.right import lease_guard
from bottlerocket_ecs_updater.engine.look.evidence import Evidence
from bottlerocket_ecs_updater.engine.look.looker import Looker
from bottlerocket_ecs_updater.engine.look.schedule import GATHER_SHARE, LookSchedule
from bottlerocket_ecs_updater.engine.look.wants import Wants
from bottlerocket_ecs_updater.engine.outages import OutageWaits
from bottlerocket_ecs_updater.engine.ports import (
    Clock,
    Cluster,
    Counted,
    Hosts,
    Lease,
    Recorder,
    Store,
    Successors,
    Survey,
)
from bottlerocket_ecs_updater.engine.resume import begin_afresh, remember
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.safe_recorder import SafeRecorder
from bottlerocket_ecs_updater.engine.store.first_seen import FirstSeen
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerBroken, LedgerKeeping
from bottlerocket_ecs_updater.engine.store.pause_switch import look_for_pause
from bottlerocket_ecs_updater.engine.store.shared_state import SharedState, publish
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLapsed, LeaseLost, Throttled, Unreachable, UpdaterError

PASSING_REASONS = frozenset(
    {Reason.BUDGET, Reason.ZONE_BUDGET, Reason.SETTLING, Reason.STAGING_AHEAD, Reason.OWN_HOST_LAST}
)
"""Holds that come and go with every slot: they are in the summary, not in the log.

A run that was stopped holds instances for none of them: it may not have taken the slots that it gave to others.
"""

IDLE_PASSES_MAX = 5
"""How many passes without an act may follow each other at once. Each may need a look at what the last one found."""


PAUSE_KNOWN_FOR = timedelta(seconds=45)
"""How old the pause switch may be when updates start. A pause stops them within this time."""

PAUSE_READ_EVERY = timedelta(seconds=60)
"""How often the pause switch is read otherwise, so that a pause is reported while updates are in progress."""

BASELINE_LOOKS, BASELINE_SPACING = 5, timedelta(seconds=15)
"""Looks at services before the first drain, and the time between them. They show which services flap by themselves."""

EVERYTHING = Wants(full=True, listing=True, services=True)
"""What the first look reads, and the first look after the lease lapsed."""


class Stop:
    """A stop request: signal handlers set it, the loop reads it."""

    def __init__(self) -> None:
        self.why = ""

    def request(self, why: str) -> None:
        """Ask the run to stop acting and to exit."""
        self.why = self.why or why


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a run talks to."""

    cluster: Cluster
    hosts: Hosts
    clock: Clock
    ledger: LedgerKeeping
    lease: Lease
    recorder: Recorder
    store: Store | None = None
    survey: Survey | None = None
    own: OwnTask | None = None
    successors: Successors | None = None
    store_name: str = ""
    """Identifies the state store, so that claims of runs with another store can be recognized."""
    state: str = ""
    """The name of the cluster's state in the store; empty for the cluster's own name."""
    place: Location | None = None
    """The cluster's location, which identifies it among clusters that share the store; None if it shares nothing."""


class Run:
    """One update run over one cluster."""

    def __init__(
        self,
        run: RunId,
        cluster_name: str,
        ports: Ports,
        policy: Policy,
        *,
        stop: Stop | None = None,
        wake: timedelta = timedelta(seconds=15),
        version: str = "",
        calls: Counted | None = None,
    ) -> None:
        now = ports.clock.now()
        ports = replace(ports, recorder=SafeRecorder(ports.recorder))
        self._run = run
        self._cluster_name = cluster_name
        self._ports = ports
        self._policy = policy
        self._stop = stop_requested = stop or Stop()
        self._outages = OutageWaits(
            ports.clock, ports.lease, policy, ports.recorder, wake, lambda: bool(stop_requested.why)
        )
        self._version = version
        self._calls = calls
        self._known = RunState(run, now, now, now, believed_max=policy.long_step, store=ports.store_name)
        self._known.daemon_start = policy.daemon_start
        self._known.own = ports.own
        self._looker = Looker(
            self._known,
            ports.cluster,
            ports.hosts,
            ports.clock,
            policy,
            ports.recorder,
            ports.survey,
            ports.successors,
        )
        ports.ledger.ask_first(partial(lease_guard(ports.lease), True))
        self._executor = Executor(
            self._known,
            ports.cluster,
            ports.hosts,
            ports.ledger,
            ports.clock,
            ports.recorder,
            ports.successors,
        )
        self._evidence = Evidence(self._known, ports.cluster, ports.ledger)
        self._first_seen = FirstSeen(ports.store)
        self._sighted: set[Version] = set()
        """The versions whose first sighting this run has recorded."""
        self._shared = SharedState(ports.store, ports.place, policy.rules.stages)
        self._schedule = LookSchedule(policy.poll_interval)
        self._phases: dict[InstanceId, tuple[Phase, datetime]] = {}
        self._holds: dict[InstanceId, Hold] = {}
        self._stuck_on: Hold | None = None
        self._failed_drains = self._why_stuck = ""
        self._pause_read_at: datetime | None = None
        self._idle_passes = 0
        """Consecutive passes that did not act, and wanted to look again at once."""
        self._stuck: dict[InstanceId, datetime] = {}
        """By instance: since when passes did not act on it, and wanted to look at it again at once."""

    def execute(self) -> RunFinished:
        """Run to the end, and return the result. Expected errors are in the result, not raised."""
        ports = self._ports
        self._record(RunStarted(self._known.started_at, self._run, self._cluster_name, self._version))
        why, error, in_haste, lost = "", False, False, False
        try:
            self._remember()
            self._passes()
            self._note_waiting()
            self._outages.retry(ports.ledger.flush)
            self._stopping()
            denied = self._denied()
            if denied:
                why, error = denied, True
        except (UpdaterError, LeaseLost, Interrupted) as problem:
            why, error, in_haste = str(problem), True, isinstance(problem, Interrupted)
            if in_haste and self._stop.why:
                why = f"{self._stop.why}; {why}"
            lost = isinstance(problem, LeaseLost)
        if not in_haste:
            self._flush_once_more()
        finished = self._finish(why, error=error, in_haste=in_haste)
        if not (in_haste or lost):
            self._publish(finished)
        with suppress(Interrupted, LeaseLost):
            # The recorder that raised this already knows, and the run is over.
            self._record(finished)
        return finished

    def _outcomes(self) -> dict[InstanceId, Outcome]:
        return {id_: self._outcome(instance) for id_, instance in sorted(self._known.instances.items())}

    def _note_waiting(self) -> None:
        """Record what blocked all updates in this run, so that the next run reports if it still does."""
        if not self._known.stopping and self._known.halt is None:
            outcomes, fleet = self._outcomes(), self._known.fleet()
            self._stuck_on, self._failed_drains = stuck_on(outcomes, fleet), failed_drains(outcomes, fleet)
            self._why_stuck = said(self._stuck_on, fleet) if self._stuck_on is not None else self._failed_drains
            codes = waiting_codes(outcomes, fleet)
            self._ports.ledger.change(partial(with_waiting, codes=codes, at=self._known.started_at))

    def _remember(self) -> None:
        try:
            self._outages.retry(partial(remember, self._known, self._ports.ledger))
            self._ports.ledger.change(partial(with_suspect_after, after=self._policy.suspect_after))
        except LedgerBroken as problem:
            # Claims are also on the instances, so return claimed instances to service. Start no updates.
            self._known.blocked = str(problem)
        self._record_remembered()

    def _flush_once_more(self) -> None:
        """Try to save the ledger, however the run ended: an outdated claim would make work for the next run."""
        with suppress(UpdaterError, LeaseLost, Interrupted):
            self._ports.ledger.flush()

    def _publish(self, finished: RunFinished) -> None:
        """Publish the cluster's standing for other clusters. A failure affects nothing else."""
        store, place, known = self._ports.store, self._ports.place, self._known
        if store is None or place is None:
            return
        last = LastRun(self._run, finished.outcome.value, finished.exit_code, finished.at, finished.why)
        try:
            now, before = publish(store, Seen(place, known.fleet(), finished.outcomes, last), self._policy)
        except (UpdaterError, LeaseLost, Interrupted) as problem:
            self._record(OutputFailed(finished.at, "the standing of the cluster", str(problem)))
        else:
            self._record(published(now, before, known.past.first_seen, finished.at))

    def _record(self, event: object) -> None:
        self._ports.recorder.record(event)  # type: ignore[arg-type]

    # The loop

    def _passes(self) -> None:
        wants, afresh = EVERYTHING, True
        while not self._stopping():
            try:
                self._looker.look(wants)
                if afresh:
                    begin_afresh(self._known, self._looker, self._ports.ledger)
                    self._forget_gone()
                    afresh = False
                self._evidence.look()
                self._look_beyond()
                decision = self._decide()
                self._notice_stuck(decision)
                self._record_decision(decision)
                if self._stopping():
                    return
                acted = self._act(decision)
            except LeaseLapsed as lapse:
                self._outages.regain(lapse)
                wants, afresh = EVERYTHING, True
                continue
            except (Throttled, Unreachable) as problem:
                self._outages.wait_out(problem)
                # The outage may have been long, so look at services again.
                wants = replace(wants, services=True)
                continue
            if not self._executor.unsafe:
                self._outages.answered()
            self._record_phases()
            if decision.look_at is None and not acted:
                return
            self._schedule_looks(decision, wants)
            again = self._schedule.next(decision.look_at) or self._known.at
            again = self._align(again)
            self._idle_passes = 0 if acted or again > self._known.at else self._idle_passes + 1
            if self._executor.faltered or self._idle_passes >= IDLE_PASSES_MAX:
                # Do not retry at once what AWS just refused or throttled, or what a few looks in a row did not find.
                again = max(again, self._known.at + self._policy.poll_interval)
            self._executor.save(again)
            self._outages.sleep_until(again)
            wants = self._wants(decision)

    def _act(self, decision: Decision) -> bool:
        """Execute the decision. If AWS denies a call, start no more updates, and finish claimed instances without it.

        Claimed instances are verified if possible, the others are returned to service, and the run ends with the error.
        """
        acted = self._executor.perform([step.commands for step in decision.steps.values()])
        if self._executor.denied is not None:
            if not self._known.in_progress:
                raise self._executor.denied
            self._known.bar(self._executor.denied)
        self._block_stalled()
        # If AWS denies reboots or checks for all hosts so far, drain no more hosts.
        for kind in (DocumentKind.REBOOT, DocumentKind.CHECK):
            self._known.blocked = self._known.blocked or self._known.denied_for_all(kind)
        return acted

    def _denied(self) -> str:
        """The error to end the run with: a denied call, or a document that is denied for all hosts; empty if none."""
        known = self._known
        return known.blocked or next(filter(None, map(known.denied_for_all, DocumentKind)), "")

    def _block_stalled(self) -> None:
        """Treat a call that AWS has neither accepted nor denied for `stall_timeout` as denied."""
        known, now, limit = self._known, self._ports.clock.now(), self._policy.stall_timeout
        since = {id_: known.instance(id_).progress.stalled_since for id_ in sorted(self._executor.stalled)}
        over = [id_ for id_, at in since.items() if at is not None and has_passed(at, limit, now)]
        if known.blocked or not over:
            return
        known.blocked = f"AWS did not accept any call for {', '.join(over)} within {duration_text(limit)}"
        for id_ in over:
            # The next step for the instance gets its own time limit.
            instance = known.instance(id_)
            known.learn(replace(instance, progress=replace(instance.progress, stalled_since=None)))

    def _notice_stuck(self, decision: Decision) -> None:
        """Hold instances for this run if looks never return all the facts that a drain needs."""
        now, limit = self._known.at, self._policy.answer_timeout
        wanted = [id_ for id_, step in decision.steps.items() if step.look_at == now and not step.commands]
        self._stuck = {id_: self._stuck.get(id_, now) for id_ in wanted if self._known.instance(id_).claim is None}
        for id_ in [id_ for id_, since in self._stuck.items() if has_passed(since, limit, now)]:
            self._executor.outcomes.settle(id_, hold(Reason.FACTS_MISSING, limit=duration_text(limit)))

    def _forget_gone(self) -> None:
        """Drop ledger entries of instances that left the cluster. Claims stay."""
        if self._known.listed_whole:
            present = {id_ for id_, one in self._known.instances.items() if one.registration is not None}
            self._ports.ledger.change(partial(without_gone, present=present, now=self._known.at))

    def _decide(self) -> Decision:
        """Decide. If updates would start, and the pause switch was not read lately, read it first."""
        decision = decide(self._known.fleet(), self._policy)
        if not starts_updates(decision) or not self._pause_is_older_than(PAUSE_KNOWN_FOR):
            return decision
        self._read_beyond(self._look_for_pause)
        return decide(self._known.fleet(), self._policy)

    def _look_beyond(self) -> None:
        """Read the shared state, and the pause switch once a minute.

        While updates are paused it is read with every look, so that no run ends because of an old pause.
        """
        if self._known.paused or self._pause_is_older_than(PAUSE_READ_EVERY):
            self._read_beyond(self._look_for_pause)
        self._read_beyond(self._look_at_store)

    def _read_beyond(self, read: Callable[[], None]) -> None:
        """Read something in the store. If that fails, start no updates, but finish those in progress."""
        try:
            read()
        except (Throttled, Unreachable, LeaseLost, Interrupted):
            raise
        except UpdaterError as problem:
            if not self._known.in_progress:
                raise
            self._known.bar(problem)

    def _look_for_pause(self) -> None:
        self._record_pause(look_for_pause(self._ports.store, self._ports.state or self._cluster_name))
        self._pause_read_at = self._known.at

    def _pause_is_older_than(self, age: timedelta) -> bool:
        read_at = self._pause_read_at
        return read_at is None or has_passed(read_at, age, self._known.at)

    def _look_at_store(self) -> None:
        """Read how old versions are, and what other clusters and people recorded about them."""
        known, ledger = self._known, self._ports.ledger
        known.shared = self._shared.look(known.at)
        if why := self._shared.take_off():
            self._record(RuleOff(known.at, "blocks and promotions", why))
        for key, why in self._shared.take_unreadable():
            self._record(StateUnreadable(known.at, key, why))
        for version in known.releases_told():
            seen = self._first_seen.note(version, known.at)
            ledger.change(partial(with_sighting, version=version, at=seen))
            if version not in self._sighted:
                self._sighted.add(version)
                self._record(VersionSeen(known.at, version, seen))
        for id_, offered in known.offers_told().items():
            ledger.change(partial(with_offer, instance=id_, offered=offered))
        for key, why in self._first_seen.take_unreadable():
            self._record(StateUnreadable(known.at, key, why))
        for name, state in known.published.items():
            if isinstance(state, Published):
                ledger.change(partial(with_published, parameter=name, found=state))
        for id_, version in newly_found(known.fleet(), self._policy).items():
            ledger.change(partial(with_found, instance=id_, version=version, at=known.at))
        known.past = ledger.value.past
        self._looker.surveying.tell_withdrawn(known.past.published)

    def _record_pause(self, paused: str) -> None:
        """Report a new pause, another reason, or a resume."""
        before, self._known.paused = self._known.paused, paused
        if paused and paused != before:
            self._record(UpdatesPaused(self._known.at, paused))
        elif before and not paused:
            self._record(UpdatesResumed(self._known.at, before))

    def _stopping(self) -> bool:
        if self._stop.why and not self._known.stopping:
            self._known.stopping = self._stop.why
            self._record(RunStopping(self._ports.clock.now(), self._stop.why))
        return bool(self._known.stopping)

    def _schedule_looks(self, decision: Decision, looked: Wants) -> None:
        ours = [id_ for id_, instance in self._known.instances.items() if instance.claim is not None]
        kept = ours if looked.full or looked.listing else [*looked.due, *looked.heard]
        self._schedule.take(decision, ours, kept, self._known.at)
        services = self._known.services
        were_looked_at = services is not None and services.at == self._known.at
        self._schedule.take_services(self._services_at(decision), kept=were_looked_at)

    def _services_at(self, decision: Decision) -> datetime | None:
        """When to look at the services next.

        With many updates in progress, one look covers several instances that settle (see `services_apart`).
        """
        policy, at = self._policy, decision.services_at
        if at is None or decision.wants_full_look:
            return at
        spacing = services_apart(policy.poll_interval, self._together_at_most, policy.settle)
        return shared_look(at, self._known.started_at, spacing)

    def _baseline_due(self, now: datetime) -> bool:
        """Whether to look at services again before the first drain, to see how stable they are."""
        known = self._known
        seen = known.services
        few = not known.drained and known.looks_before < BASELINE_LOOKS and bool(known.instances)
        return few and seen is not None and has_passed(seen.at, BASELINE_SPACING, now)

    def _align(self, again: datetime) -> datetime:
        """When to take the next look. With many updates in progress, instances share looks and calls.

        Results that arrive within seconds are read sooner than the rest, by looks that are shared as well.
        """
        policy, began = self._policy, self._known.started_at
        spacing, crowd = self._batch_interval, is_crowd(self._together_at_most)
        prompt = self._schedule.earliest(lambda id_: is_prompt(self._known.instance(id_), crowd=crowd))
        shared = shared_look(again, began, spacing)
        if prompt is None:
            return shared
        close = min(spacing, soon_interval(policy.poll_interval))
        return min(shared, max(again, shared_look(prompt - policy.poll_interval / GATHER_SHARE, began, close)))

    @property
    def _batch_interval(self) -> timedelta:
        """How far apart shared looks are."""
        return apart(self._policy.poll_interval, self._together_at_most, self._policy.settle)

    @property
    def _together_at_most(self) -> int:
        """How many instances may be out of service at once."""
        return self._policy.max_unavailable.of(len(self._known.instances))

    def _wants(self, decision: Decision) -> Wants:
        now = self._ports.clock.now()
        steps, due = decision.steps.items(), self._schedule.due(now)
        heard = {id_ for id_ in due if id_ in decision.steps and decision.steps[id_].wants_answer_only}
        return Wants(
            full=decision.wants_full_look,
            listing=decision.wants_listing,
            services=self._schedule.services_due(now) or self._baseline_due(now),
            due=due - heard,
            heard=heard,
            tasks=[id_ for id_, step in steps if step.wants_tasks],
            groups=[id_ for id_, step in steps if step.wants_group],
            reboot_ends=[id_ for id_, step in steps if step.wants_reboot_end and id_ in due],
        )

    # Events

    def _record_remembered(self) -> None:
        for id_, instance in sorted(self._known.instances.items()):
            claim = instance.claim
            if claim is not None and claim.run != self._run:
                found = ClaimFound(self._known.started_at, id_, claim.phase.value, claim.run, claim.since)
                self._record(found)

    def _record_decision(self, decision: Decision) -> None:
        now = self._known.at
        if decision.halt is not None and self._known.halt is None:
            self._known.halt = decision.halt
            self._record(RunHalted(now, decision.halt.why))
        for id_, why in decision.holds.items():
            before = self._holds.get(id_)
            if self._known.instance(id_).progress.outcome is not None:
                continue  # reported when it was settled
            if why.reason not in PASSING_REASONS and (before is None or before.reason is not why.reason):
                self._record(InstanceHeld(now, id_, why))
        self._holds = dict(decision.holds)
        self._record_phases()

    def _record_phases(self) -> None:
        now = self._ports.clock.now()
        for id_ in sorted(self._known.touched):
            instance = self._known.instance(id_)
            if not instance.bottlerocket:
                continue
            phase = phase_of(instance)
            before, since = self._phases.get(id_, (Phase.UNKNOWN, None))
            if phase is not before:
                self._record(PhaseEntered(now, id_, phase, before, now - since if since is not None else None))
                self._phases[id_] = (phase, now)
        self._known.touched.clear()

    # The end

    def _finish(self, why: str, *, error: bool, in_haste: bool = False) -> RunFinished:
        known = self._known
        outcomes = self._outcomes()
        ended, exit_code = self._run_outcome(outcomes.values(), error=error, in_haste=in_haste)
        if not why and known.halt is not None:
            why = known.halt.why
        if not why and ended in (RunOutcome.STUCK, RunOutcome.FAILURES):
            why = self._why_stuck
        now = self._ports.clock.now()
        took = now - known.started_at
        why = why or known.stopping
        calls, throttles = (dict(self._calls), self._calls.throttled) if self._calls is not None else ({}, 0)
        counts = count(outcomes)
        return RunFinished(
            now, self._run, ended, exit_code, counts, took, why, outcomes, calls, throttles, known.proven
        )

    def _run_outcome(self, outcomes: Iterable[Outcome], *, error: bool, in_haste: bool) -> tuple[RunOutcome, int]:
        """How the run ended, and its exit code."""
        if error:
            return (RunOutcome.INTERRUPTED if in_haste else RunOutcome.ERROR), 1
        if self._known.halt is not None:
            return RunOutcome.HALTED, 4
        fleet = self._known.fleet()
        failed = any(isinstance(outcome, Failed | Quarantined) for outcome in outcomes)
        bad = failed or in_quarantine(fleet) or left_out(Pass(fleet, self._policy))
        if self._known.stopping:
            # It was stopped, but the exit code still shows earlier failures.
            return RunOutcome.INTERRUPTED, 3 if bad else 0
        if bad or self._failed_drains:
            return RunOutcome.FAILURES, 3
        return (RunOutcome.STUCK, 3) if self._stuck_on is not None else (RunOutcome.OK, 0)

    def _outcome(self, instance: Instance) -> Outcome:
        if instance.progress.outcome is not None:
            return instance.progress.outcome
        if instance.claim is not None and instance.progress.sent_return is not None:
            return instance.progress.sent_return.outcome
        known = self._holds.get(instance.id)
        if known is not None and not (self._known.stopping and known.reason in PASSING_REASONS):
            return known
        if not instance.bottlerocket:
            return hold(Reason.NOT_BOTTLEROCKET)
        phase = phase_of(instance)
        return hold(Reason.IN_PROGRESS if phase in IN_PROGRESS else Reason.NOT_REACHED, phase=phase.value)
