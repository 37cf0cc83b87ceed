"""What is in the store before an act and what is written later, and that a reboot needs a fresh look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import OLD, ZONES, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, read_claim
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.engine.act.executor import LEDGER_WAITS, LOOK_SERVES
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, ledger_key, read_ledger
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed, StaleReads
from bottlerocket_ecs_updater.simulator.host import HostSpec, HostTiming
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT
from bottlerocket_ecs_updater.simulator.world.world import World

MARKED, REBOOTED, DESCRIBED = "PutAttributes", "SendCommand", "DescribeContainerInstances"


class Counting(MemoryStore):
    """A store that counts the writes of the ledger, and shows its content."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self.writes += key == ledger_key("demo")
        return super().put(key, data, expect)

    def claims(self) -> dict[InstanceId, Claim]:
        stored = self.get(ledger_key("demo"))
        found = read_ledger(stored.data, "")[0].claims if stored is not None else {}
        return {id_: one.claim for id_, one in found.items()}

    @property
    def updated(self) -> int:
        stored = self.get(ledger_key("demo"))
        return len(read_ledger(stored.data, "")[0].updated) if stored is not None else 0

    @property
    def survival_known(self) -> bool:
        stored = self.get(ledger_key("demo"))
        return stored is not None and read_ledger(stored.data, "")[0].attributes_survive


def claims_of(call: Call) -> Sequence[Claim]:
    """The claims that a call writes to instances."""
    if call.operation != MARKED:
        return ()
    values = [one["value"] for one in call.params["attributes"] if one["name"] == CLAIM_ATTRIBUTE]
    return [claim for value in values if (claim := read_claim(value)) is not None]


def run_with(world: World, store: MemoryStore) -> None:
    ledger = KeptLedger(store, "demo", RunId("run-1"))
    assert Updater(world, at_most(1), ledger=ledger, store=store).run().exit_code == 0
    assert world.findings().clean


def test_a_claim_is_stored_before_it_is_on_the_instance_until_attributes_are_seen_to_survive() -> None:
    world, store = row(3), Counting()
    early: list[bool] = []
    late: list[bool] = []

    def authorize(call: Call) -> None:
        for claim in claims_of(call):
            (late if store.survival_known else early).append(claim in store.claims().values())

    world.authorize = authorize
    run_with(world, store)
    assert early == [True, True]
    assert late.count(False) > 0


@pytest.mark.parametrize("lag", [45, 50, 55, 60])
def test_a_claim_that_ecs_still_shows_as_before_the_boot_has_not_survived_it(lag: int) -> None:
    """The host is back so quickly that its check proves the new boot before ECS shows it."""
    quick = HostTiming(*(timedelta(seconds=1) for _ in fields(HostTiming)))
    stale = FaultPlan((Placed(StaleReads(timedelta(seconds=lag))),))
    world = row(0, services=0, plan=stale, ecs_timing=EcsTiming(attributes_survive=False))
    world.add_instance(HostSpec(instance_id(0), version=OLD, timing=quick), ZONES[0])
    store = Counting()
    run_with(world, store)
    assert not store.survival_known


def test_after_that_the_copy_in_the_store_is_two_minutes_old_at_most() -> None:
    world, store = row(5), Counting()
    marks: list[tuple[datetime, Claim]] = []
    missing: list[Claim] = []
    dropped: set[str] = set()

    def authorize(call: Call) -> None:
        now = world.clock.now()
        marks.extend((now, claim) for claim in claims_of(call))
        if call.operation == "DeleteAttributes":
            dropped.update(claim.boot for _, claim in marks)
        current = {claim.boot: (at, claim) for at, claim in marks}
        stored = store.claims().values()
        for boot, (at, claim) in current.items():
            if now > at + LEDGER_WAITS + timedelta(seconds=5) and boot not in dropped and claim not in stored:
                missing.append(claim)

    world.authorize = authorize
    run_with(world, store)
    assert missing == []
    assert store.writes <= 6 + (world.clock.now() - marks[0][0]) / LEDGER_WAITS


def test_the_first_instance_on_a_version_is_in_the_store_before_the_next_drain() -> None:
    world, store = row(4), Counting()
    known: list[int] = []

    def authorize(call: Call) -> None:
        if call.operation == "UpdateContainerInstancesState" and call.params["status"] == "DRAINING":
            known.append(store.updated)

    world.authorize = authorize
    ledger = KeptLedger(store, "demo", RunId("run-1"))
    policy = replace(at_most(1), settle=timedelta(seconds=10))
    assert Updater(world, policy, ledger=ledger, store=store).run().exit_code == 0
    assert known[1] == 1


@pytest.mark.parametrize("takes", [timedelta(0), LOOK_SERVES - timedelta(seconds=1), 2 * LOOK_SERVES])
def test_no_reboot_is_sent_on_an_old_look_after_a_slow_claim(takes: timedelta) -> None:
    world = row(2)
    looked_at, ages = world.clock.now(), []

    def authorize(call: Call) -> None:
        nonlocal looked_at
        if call.operation == DESCRIBED:
            looked_at = world.clock.now()
        if any(claim.reboots for claim in claims_of(call)):
            world.clock.sleep(takes)
        if call.operation == REBOOTED and call.params["DocumentName"] == REBOOT:
            ages.append(world.clock.now() - looked_at)

    world.authorize = authorize
    run_with(world, MemoryStore())
    assert len(ages) == 2
    assert max(ages) <= LOOK_SERVES + timedelta(seconds=1)
