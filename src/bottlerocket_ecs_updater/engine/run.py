"""The run: look, decide, act and record, until no more can be done now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide, starts_updates
from bottlerocket_ecs_updater.core.decision.left_claim import left_by_us
from bottlerocket_ecs_updater.core.model.event import Event, OutputFailed, RunFinished, RunStarted, RunStopping
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.shared import LastRun
from bottlerocket_ecs_updater.core.planning.cluster_standing import Seen, published
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import with_suspect_after
from bottlerocket_ecs_updater.core.state.ledger_upkeep import without_gone, without_returned
from bottlerocket_ecs_updater.engine.act.executor import Executor
from bottlerocket_ecs_updater.engine.change_record import ChangeRecord
from bottlerocket_ecs_updater.engine.lease.run_lease import lease_guard
from bottlerocket_ecs_updater.engine.look.evidence import Evidence
from bottlerocket_ecs_updater.engine.look.looker import Looker
from bottlerocket_ecs_updater.engine.look.next_look import NextLook
from bottlerocket_ecs_updater.engine.look.store import StoreLooks
from bottlerocket_ecs_updater.engine.look.wants import Wants
from bottlerocket_ecs_updater.engine.obstacles import Obstacles
from bottlerocket_ecs_updater.engine.outages import OutageWaits
from bottlerocket_ecs_updater.engine.ports import Counted
from bottlerocket_ecs_updater.engine.resume import after_first_look, load_earlier_runs
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.run_result import RunEnd, RunResult
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.safe_recorder import SafeRecorder
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerBroken
from bottlerocket_ecs_updater.engine.store.shared_state import publish
from bottlerocket_ecs_updater.engine.usual_duration import UsualDuration, UsualReboots, UsualStops
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLapsed, LeaseLost, Throttled, Unreachable, UpdaterError

IDLE_PASSES_MAX = 5
"""How many passes without an act may follow each other without a wait.

Each may need a look at what the last one found.
"""

EVERYTHING = Wants(full=True, listing=True, services=True)
"""What the first look reads, and the first look after the lease lapsed."""


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
        ports = replace(ports, recorder=SafeRecorder(ports.recorder), state=ports.state or cluster_name)
        self._run = run
        self._cluster_name = cluster_name
        self._ports = ports
        self._policy = policy
        self._stop = stop_requested = stop or Stop()
        self._outages = OutageWaits(ports, policy, wake, lambda: bool(stop_requested.why))
        self._version = version
        self._calls = calls
        fleet = Fleet(run, now, now, now, {}, own=ports.own, store=ports.store_name)
        self._known = known = RunState(
            fleet,
            daemon_start=policy.daemon_start,
            drains=UsualDuration(policy.poll_interval, policy.long_step),
            stops=UsualStops(policy.long_step),
            reboots=UsualReboots(policy.poll_interval, policy.long_step),
        )
        self._looker = Looker(known, ports, policy)
        ports.ledger.ask_first(partial(lease_guard(ports.lease), True))
        self._executor = Executor(known, ports)
        self._evidence = Evidence(known, ports.cluster, ports.ledger, policy)
        self._stored = StoreLooks(known, policy, ports, self._looker.conditions)
        self._obstacles = Obstacles(known, self._executor, ports.clock, policy)
        self._changes = ChangeRecord(known, ports.recorder, ports.clock)
        self._result = RunResult(known, policy, self._changes)
        self._next_look = NextLook(known, policy)
        self._idle_passes = 0
        """Consecutive passes that did not act, and wanted to look again at once."""

    def execute(self) -> RunFinished:
        """Run to the end, and return the result. Expected errors are in the result, not raised."""
        self._record(RunStarted(self._known.fleet.started_at, self._run, self._cluster_name, self._version))
        end = self._run_to_end()
        if not end.interrupted:
            self._flush_once_more()
        finished = self._result.finished(self._ports.clock.now(), end, self._calls)
        if not (end.interrupted or end.lost):
            self._publish(finished)
        with suppress(Interrupted, LeaseLost):
            # The recorder that raised this already knows, and the run is over.
            self._record(finished)
        return finished

    def _run_to_end(self) -> RunEnd:
        """Take all passes. Expected errors are in the result."""
        try:
            self._load_earlier_runs()
            self._passes()
            self._result.note_waiting(self._ports.ledger)
            self._outages.retry(self._ports.ledger.flush)
            self._stopping()
        except Interrupted as problem:
            why = f"{self._stop.why}; {problem}" if self._stop.why else str(problem)
            return RunEnd(why, error=True, interrupted=True)
        except (UpdaterError, LeaseLost) as problem:
            return RunEnd(str(problem), error=True, lost=isinstance(problem, LeaseLost))
        denial = self._obstacles.denial()
        return RunEnd(denial, error=bool(denial))

    def _load_earlier_runs(self) -> None:
        try:
            self._outages.retry(partial(load_earlier_runs, self._known, self._ports.ledger))
            self._ports.ledger.change(partial(with_suspect_after, after=self._policy.suspect_after))
        except LedgerBroken as problem:
            # Claims are also on the instances, so return claimed instances to service. Start no updates.
            self._known.fleet = replace(self._known.fleet, blocked=str(problem))
        self._changes.record_remembered()

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
            seen = Seen(place, known.fleet, finished.outcomes, last)
            now, before = publish(store, seen, self._policy, first=known.first_run)
        except (UpdaterError, LeaseLost, Interrupted) as problem:
            self._record(OutputFailed(finished.at, "the standing of the cluster", str(problem)))
        else:
            self._ports.published(now)
            self._record(published(now, before, known.fleet.past.first_seen, finished.at))

    def _record(self, event: Event) -> None:
        self._ports.recorder.record(event)

    def _passes(self) -> None:
        wants, first = EVERYTHING, True
        while not self._stopping():
            try:
                self._looker.look(wants)
                if first:
                    after_first_look(self._known, self._looker, self._ports.ledger)
                    self._forget_gone()
                    first = False
                self._evidence.look()
                self._stored.look()
                decision = self._decide()
                self._obstacles.notice_missing_facts(decision)
                self._changes.record_decision(decision)
                if self._stopping():
                    return
                acted = self._act(decision)
            except LeaseLapsed as lapse:
                self._outages.regain(lapse)
                wants, first = EVERYTHING, True
                continue
            except (Throttled, Unreachable) as problem:
                self._outages.wait_out(problem)
                # The outage may have been long, so look at services again.
                wants = replace(wants, services=True)
                continue
            if not self._executor.ledger_unsaved:
                self._outages.answered()
            self._changes.record_phases()
            if decision.look_at is None and not acted:
                return
            again = self._next_look.at(decision, wants)
            self._idle_passes = 0 if acted or again > self._known.fleet.at else self._idle_passes + 1
            if self._executor.must_retry or self._idle_passes >= IDLE_PASSES_MAX:
                # Do not retry at once what AWS just refused or throttled, or what a few looks in a row did not find.
                again = max(again, self._known.fleet.at + self._policy.poll_interval)
            again = self._stored.next_look(again)
            self._executor.save(again)
            self._outages.sleep_until(again)
            wants = self._next_look.wants(decision, self._ports.clock.now())

    def _act(self, decision: Decision) -> bool:
        """Execute the decision. Returns whether a call was made."""
        acted = self._executor.perform([step.commands for step in decision.steps.values()])
        self._obstacles.notice_denials()
        return acted

    def _forget_gone(self) -> None:
        """Drop ledger entries of instances that left the cluster. Claims stay."""
        if self._known.listed_whole:
            present = {id_ for id_, one in self._known.instances.items() if one.registration is not None}
            self._ports.ledger.change(partial(without_gone, present=present, now=self._known.fleet.at))
            draining = {id_ for id_, one in self._known.instances.items() if left_by_us(one) is not None}
            self._ports.ledger.change(partial(without_returned, draining=draining))

    def _decide(self) -> Decision:
        """Decide. If updates would start, first read the pause and the blocked versions again, if they are old."""
        decision = decide(self._known.fleet, self._policy)
        if starts_updates(decision) and self._stored.refresh_orders():
            return decide(self._known.fleet, self._policy)
        return decision

    def _stopping(self) -> bool:
        if self._stop.why and not self._known.fleet.stopping:
            self._known.fleet = replace(self._known.fleet, stopping=self._stop.why)
            self._record(RunStopping(self._ports.clock.now(), self._stop.why))
        return bool(self._known.fleet.stopping)
