"""Cases that earlier versions of the updater got wrong, replayed: each is a small world with the expected result."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, OLD, Tape, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.cli import signals
from bottlerocket_ecs_updater.cli.signals import handle_signals
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.event import Drained, Event, RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.errors import Interrupted, Unreachable
from bottlerocket_ecs_updater.report.outputs.archive import Archive
from bottlerocket_ecs_updater.report.record.record import Record
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
from bottlerocket_ecs_updater.simulator.faults import RollsBack
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

FIRST = InstanceId(instance_id(0))
BOOTS_OF_A_ROLLBACK = 1
"""The world counts only the boot that succeeded: GRUB returns from a version that does not boot by itself."""
HALF_A_DAY = timedelta(hours=12)


def kept(store: MemoryStore, name: str) -> KeptLedger:
    return KeptLedger(store, "demo", RunId(name))


def missing_once(world: World, caller: str, monkeypatch: pytest.MonkeyPatch) -> InProcessClients:
    """Clients whose first DescribeContainerInstances lists the first instance among its failures."""
    clients, arn = InProcessClients(world, caller=caller), world.instance(FIRST).arn
    ecs = clients.client("ecs")
    real, answers = ecs._call, [0]

    def call(operation: str, params: Shape) -> Shape:
        answer: Shape = real(operation, params)
        if operation != "DescribeContainerInstances" or answers[0]:
            return answer
        answers[0] += 1
        left = [one for one in answer["containerInstances"] if one["containerInstanceArn"] != arn]
        return {**answer, "containerInstances": left, "failures": [{"arn": arn, "reason": "MISSING"}]}

    monkeypatch.setattr(ecs, "_call", call)
    return clients


def test_a_host_that_one_description_misses_keeps_its_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger once dropped its record of the failure, and the next run rebooted the instance into the bad version
    again.
    """
    world, store = row(3, services=1, tasks=1, faults={0: (RollsBack(),)}), MemoryStore()
    policy = replace(Policy(), max_failures=5)
    for number in range(4):
        name = f"run-{number}"
        clients = missing_once(world, name, monkeypatch) if number == 2 else None
        finished = Updater(world, policy, name=name, ledger=kept(store, name), clients=clients).run()
        assert finished.exit_code == 3
        world.clock.sleep(HALF_A_DAY)
    outcome = finished.outcomes[FIRST]
    assert isinstance(outcome, Hold)
    assert outcome.reason is Reason.BACKING_OFF
    assert world.findings().boots[FIRST] == BOOTS_OF_A_ROLLBACK
    assert kept(store, "x").load().backoffs[FIRST].rolled_back


class _DiesAfterDrain(Tape):
    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, Drained):
            raise KilledError("killed")


def test_a_version_that_is_denied_after_a_killed_run_drained_for_it_is_not_booted() -> None:
    world, store = row(2, services=1, tasks=1), MemoryStore()
    with pytest.raises(KilledError):
        Updater(world, at_most(1), name="run-0", ledger=kept(store, "run-0"), tape=_DiesAfterDrain()).run()
    (drained,) = (name for name in world.hosts if CLAIM_ATTRIBUTE in world.instance(name).custom)
    assert world.instance(drained).status == "DRAINING"
    world.clock.sleep(timedelta(hours=6))
    denied = Rules(versions=VersionRules(deny=(VersionRange.parse(NEW),)))
    policy = replace(at_most(1), rules=denied)
    Updater(world, policy, name="run-1", ledger=kept(store, "run-1")).run()
    assert (world.instance(drained).status, CLAIM_ATTRIBUTE in world.instance(drained).custom) == ("ACTIVE", False)
    assert world.hosts[drained].running == OLD
    assert world.findings().clean


SILENT_SECONDS = 60


@dataclass
class _Silent(MemoryStore):
    """A store whose calls time out, like those to an S3 that does not answer."""

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self._hang()

    def get(self, key: str) -> Stored | None:
        self._hang()

    def _hang(self) -> NoReturn:
        threading.Event().wait(SILENT_SECONDS)
        raise Unreachable("no answer")


def test_a_signal_ends_the_writing_of_the_record_if_the_store_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record once treated the interruption as a store error, and made the next call."""
    monkeypatch.setattr(signals, "CALL_GRACE_SECONDS", 0.3)
    store, run, now = _Silent(), RunId("run"), datetime(2026, 1, 5, tzinfo=UTC)
    end = RunFinished(now, run, RunOutcome.INTERRUPTED, 0, {}, timedelta(), "SIGTERM", {}, {})
    recorders = (Record(store, "demo", run), Archive(store, "demo", run, lambda _: None))

    def stop_and_record() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for recorder in recorders:
            recorder.record(end)

    began = time.monotonic()
    with handle_signals(Stop(), threading.Event()), pytest.raises(Interrupted):
        stop_and_record()
    assert time.monotonic() - began < SILENT_SECONDS / 2
