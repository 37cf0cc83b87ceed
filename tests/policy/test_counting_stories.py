"""Checkpoints and the daily limit over whole runs: each instance counts once, and nothing counts forever."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.rules import parse_checkpoints
from tests.support.simulated import NEW, OLD, ZONES, Tape, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Claimed, Drained, Event, RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

HOUR = timedelta(hours=1)
LATE = f.EcsAgentLate(timedelta(minutes=30), 0)
"""It is given up and quarantined, and becomes healthy a little later."""


@dataclass
class Roll:
    """A cluster and a state store, with several runs one after the other."""

    world: World
    checkpoints: Checkpoints
    budget: int = 1
    max_failures: int = 5
    store: MemoryStore = field(default_factory=MemoryStore)
    runs: int = 0

    @property
    def policy(self) -> Policy:
        usual = replace(
            at_most(self.budget),
            max_failures=self.max_failures,
            suspect_after=max(2, self.max_failures),
            reboot_timeout=timedelta(minutes=5),
        )
        return replace(usual, rules=Rules(checkpoints=self.checkpoints))

    def updater(self) -> Updater:
        self.runs += 1
        name = f"run-{self.runs}"
        return Updater(self.world, self.policy, name, KeptLedger(self.store, "demo", RunId(name)))

    def run(self, *, later: timedelta = timedelta()) -> RunFinished:
        self.world.clock.sleep(later)
        return self.updater().run()

    @property
    def ledger(self) -> Ledger:
        return KeptLedger(self.store, "demo", RunId("x")).load()

    def versions(self) -> list[str]:
        there = [name for name, host in self.world.hosts.items() if self.world.instance(name).status.value == "ACTIVE"]
        return [self.world.hosts[name].running for name in sorted(there)]


def steps(text: str, wait: timedelta = timedelta(minutes=1)) -> Checkpoints:
    return Checkpoints(parse_checkpoints(text), wait)


def updated(finished: RunFinished) -> int:
    return finished.counts["updated"]


def reasons(finished: RunFinished) -> set[Reason]:
    return {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)}


# One state for each instance


def test_a_quarantined_instance_counts_once_at_a_checkpoint() -> None:
    world = row(6, budget=2, services=1, tasks=1, faults={1: (f.BootHangs(times=None),)})
    finished = Roll(world, steps("3,100%"), budget=2).run()
    assert (updated(finished), finished.counts["quarantined"], finished.counts["held"]) == (5, 1, 0)


def test_a_canary_that_comes_back_late_and_well_has_not_failed() -> None:
    roll = Roll(row(4, services=1, tasks=1, faults={0: (LATE,)}), steps("2,100%"))
    assert roll.run().counts["quarantined"] == 1
    assert roll.ledger.suspects == {Version.parse(NEW): 1}
    assert updated(roll.run(later=12 * HOUR)) == 4
    assert (roll.ledger.suspects, dict(roll.ledger.backoffs)) == ({}, {})


def test_a_version_is_not_suspect_for_hosts_that_were_only_late() -> None:
    roll = Roll(row(4, services=1, tasks=1, faults={0: (LATE,), 1: (LATE,)}), Checkpoints(), max_failures=2)
    for _ in range(3):
        roll.run(later=12 * HOUR)
    assert roll.versions() == [NEW] * 4


def test_a_run_that_verifies_a_version_continues_with_it() -> None:
    world = row(5, budget=3, services=1, tasks=1, faults={0: (LATE,), 1: (LATE,)})
    roll = Roll(world, Checkpoints(), budget=3, max_failures=2)
    first = roll.run()
    assert first.counts["quarantined"] == 2
    assert updated(first) + updated(roll.run(later=12 * HOUR)) == 5


# Instances that leave or join


@pytest.mark.parametrize("replaced", [False, True])
def test_a_canary_that_is_terminated_within_its_wait_does_not_reset_the_rollout(*, replaced: bool) -> None:
    roll = Roll(row(4), steps("1,100%", HOUR))
    first = roll.run()
    assert updated(first) == 1
    canary = next(id_ for id_, outcome in first.outcomes.items() if isinstance(outcome, Updated))
    roll.world.terminate_instance(canary)
    if replaced:
        roll.world.add_instance(HostSpec(instance_id(9), version=OLD), ZONES[0])
    early = roll.run(later=timedelta(minutes=20))
    assert (updated(early), reasons(early)) == (0, {Reason.CHECKPOINT_WAIT})
    assert updated(roll.run(later=HOUR)) == (4 if replaced else 3)


def test_an_instance_that_was_launched_on_the_version_is_a_canary_from_when_it_was_found() -> None:
    roll = Roll(row(3), steps("1,100%", HOUR))
    roll.world.add_instance(HostSpec(instance_id(9), version=NEW), ZONES[0])
    roll.world.clock.sleep(3 * HOUR)
    first = roll.run()
    assert (updated(first), reasons(first)) == (0, {Reason.CHECKPOINT_WAIT})
    roll.world.clock.sleep(HOUR - first.took)
    assert updated(roll.run(later=timedelta(minutes=1))) == 3


# A day


@pytest.mark.parametrize(
    "fault",
    [
        f.ApiFails("ThrottlingException", 400, operation="PutAttributes", lasts=timedelta(seconds=260)),
        f.ApiFails("ServerException", 500, operation="PutAttributes", lasts=timedelta(seconds=260)),
        f.ApiFails("ThrottlingException", 400, operation="UpdateContainerInstancesState", lasts=timedelta(minutes=5)),
        f.RepliesLost("PutAttributes", every=1, times=4),
        f.RepliesLost("UpdateContainerInstancesState", every=1, times=2),
    ],
    ids=lambda fault: f"{fault.operation}-{type(fault).__name__}-{getattr(fault, 'code', 'lost')}",
)
def test_a_retried_update_counts_once_a_day(fault: Fault) -> None:
    world = row(3, services=1, tasks=1, plan=FaultPlan((Placed(fault),)))
    roll = Roll(world, Checkpoints(per_day=3))
    finished = roll.run()
    assert updated(finished) == 3
    assert roll.ledger.started.keys() == {instance_id(number) for number in range(3)}


def test_an_instance_that_refused_its_claim_was_not_started() -> None:
    """The first instance already has ten attributes, and ECS allows no more."""
    world = row(3, services=1, tasks=1)
    first = Roll(row(3, services=1, tasks=1), Checkpoints(per_day=1)).run()
    full = next(id_ for id_, outcome in first.outcomes.items() if isinstance(outcome, Updated))
    world.instance(full).custom |= {f"mine-{number}": "1" for number in range(10)}
    roll = Roll(world, Checkpoints(per_day=2))
    finished = roll.run()
    assert updated(finished) == 2
    assert full not in roll.ledger.started


def killed_after(kind: type[Event], per_day: int) -> Roll:
    """A rollout whose first run is killed at its first event of a kind."""
    roll = Roll(row(3, services=1, tasks=1), Checkpoints(per_day=per_day))
    updater = roll.updater()

    class Killing(Tape):
        def record(self, event: Event) -> None:
            if isinstance(event, kind):
                raise KilledError("killed")

    updater.tape = Killing()
    with suppress(KilledError):
        updater.run()
    return roll


@pytest.mark.parametrize("kind", [Claimed, Drained])
def test_an_update_that_a_later_run_continues_counts_once(kind: type[Event]) -> None:
    roll = killed_after(kind, per_day=2)
    finished = roll.run(later=timedelta(minutes=30))
    assert updated(finished) == 2
    assert len(roll.ledger.started) == 2
    assert reasons(finished) == {Reason.DAILY_LIMIT}
