"""A stopped run exits quickly, and its exit code shows whether it leaves an instance out of service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import Tape, Updater, row

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    CommandSent,
    Drained,
    Event,
    HostChecked,
    InstanceFailed,
    Rebooted,
    Returned,
)
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.engine.change_record import PASSING_REASONS
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError


def is_reboot(event: Event) -> bool:
    return isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT


@dataclass
class Listening(Tape):
    """Stops the run at a certain event."""

    stop: Stop = field(default_factory=Stop)
    at: Callable[[Event], bool] = is_reboot

    def record(self, event: Event) -> None:
        super().record(event)
        if self.at(event):
            self.stop.request("SIGTERM was received")


def exit_code_of_one_stopped_at(at: Callable[[Event], bool], *faults: f.Fault) -> int:
    """The exit code of a run that is stopped at an event."""
    world = row(2, services=1, tasks=1, plan=FaultPlan(tuple(map(Placed, faults))))
    updater = Updater(world)
    updater.tape = Listening(stop=updater.stop, at=at)
    finished = updater.run()
    assert (finished.outcome, finished.why) == (RunOutcome.INTERRUPTED, "SIGTERM was received")
    assert (finished.exit_code == 3) == bool(world.findings().stranded)
    # The other slots may never have been used.
    assert not {hold.reason for hold in finished.outcomes.values() if isinstance(hold, Hold)} & PASSING_REASONS
    return finished.exit_code


@pytest.mark.parametrize(
    "of",
    [lambda e: isinstance(e, Claimed), lambda e: isinstance(e, Drained), is_reboot, lambda e: isinstance(e, Rebooted)],
    ids=["claimed", "drained", "rebooting", "verifying"],
)
def test_a_run_that_leaves_an_instance_out_of_service_exits_with_three(of: Callable[[Event], bool]) -> None:
    assert exit_code_of_one_stopped_at(of) == 3


@pytest.mark.parametrize(
    "of", [lambda e: isinstance(e, HostChecked), lambda e: isinstance(e, Returned)], ids=["checked", "returned"]
)
def test_a_run_that_leaves_all_instances_in_service_exits_with_zero(of: Callable[[Event], bool]) -> None:
    assert exit_code_of_one_stopped_at(of) == 0


def test_a_run_that_claims_but_does_not_drain_leaves_all_in_service() -> None:
    """ECS accepts the claim, but accepts no drain for a while."""
    fault = f.ApiFails("ThrottlingException", 400, operation="UpdateContainerInstancesState")
    assert exit_code_of_one_stopped_at(lambda event: isinstance(event, Claimed), fault) == 0


def test_a_run_that_leaves_a_dead_runs_drained_instance_exits_with_three() -> None:
    world, store = row(2, services=1, tasks=1), MemoryStore()

    class Dying(Tape):
        def record(self, event: Event) -> None:
            super().record(event)
            if isinstance(event, Drained):
                raise KilledError("killed")

    with suppress(KilledError):
        Updater(world, tape=Dying(), ledger=KeptLedger(store, "demo", RunId("run-1"))).run()
    world.clock.sleep(timedelta(minutes=10))
    later = Updater(world, name="run-2", ledger=KeptLedger(store, "demo", RunId("run-2")))
    later.stop.request("SIGTERM was received")
    assert later.run().exit_code == 3
    assert Updater(world, name="run-3", ledger=KeptLedger(store, "demo", RunId("run-3"))).run().exit_code == 0
    assert world.findings().stranded == ()


def test_a_run_that_is_stopped_after_a_failure_is_reported_as_stopped_and_exits_with_three() -> None:
    updater = Updater(row(2, faults={0: (f.RollsBack(),)}))
    updater.tape = Listening(stop=updater.stop, at=lambda event: isinstance(event, InstanceFailed))
    finished = updater.run()
    assert (finished.outcome, finished.exit_code, finished.counts["failed"]) == (RunOutcome.INTERRUPTED, 3, 1)
    assert finished.why == "SIGTERM was received"
