"""`release`: what a person is told that it would do, and what it then does, for every state of an instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
from tests.support.simulated import EngineClock, row

from bottlerocket_ecs_updater.aws.api import Api
from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.pace import Calls, Pace
from bottlerocket_ecs_updater.aws.session import Pair
from bottlerocket_ecs_updater.core.claim import ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.errors import UsageError
from bottlerocket_ecs_updater.core.fleet import Rest
from bottlerocket_ecs_updater.core.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.ledger import with_claim, with_rest
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.ledger import KeptLedger
from bottlerocket_ecs_updater.engine.memory_store import MemoryStore
from bottlerocket_ecs_updater.engine.release import Release, consider_instance, consider_version, perform
from bottlerocket_ecs_updater.simulator.ecs.model import Status
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world import World

OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
ONE = InstanceId("i-00000000000000000")
NOWHERE = InstanceId("i-0ffffffffffffffff")


@dataclass
class Desk:
    """A person with a cluster of two, and a state store."""

    world: World = field(default_factory=lambda: row(2, budget=None))
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.clock = EngineClock(self.world)
        self.clients = InProcessClients(self.world, "updater")
        api = Api(self.clock, Pace(self.clock), Calls())
        self.cluster = EcsCluster(cast("Any", Pair.of(self.clients.ecs)), api, self.clock, "demo")

    def ledger(self) -> KeptLedger:
        ledger = KeptLedger(self.store, "demo", RunId("release"))
        ledger.load()
        return ledger

    @property
    def arn(self) -> str:
        return self.world.instance(ONE).arn

    def claim(self, phase: ClaimPhase) -> Claim:
        return Claim(phase, RunId("run-0"), OLD, NEW, BootId("0b" * 16), self.clock.now(), 1)

    def drain(self) -> None:
        self.clients.ecs.update_container_instances_state(
            cluster="demo", containerInstances=[self.arn], status="DRAINING"
        )

    def write(self, text: str) -> None:
        attribute = {"name": ATTRIBUTE, "value": text, "targetId": self.arn}
        self.clients.ecs.put_attributes(cluster="demo", attributes=[attribute])

    def remember(self, *, claim: Claim | None = None, rest: Rest | None = None, id_: InstanceId = ONE) -> None:
        ledger = self.ledger()
        if claim is not None:
            ledger.change(partial(with_claim, instance=id_, claim=claim, arn=ContainerInstanceArn(self.arn)))
        if rest is not None:
            ledger.change(partial(with_rest, instance=id_, rest=rest))
        ledger.flush()

    def consider(self, id_: InstanceId = ONE) -> Release:
        return consider_instance(id_, self.cluster, self.ledger())

    def perform(self, release: Release) -> None:
        perform(release, self.cluster, self.ledger(), self.clock)

    def stands(self) -> Mapping[str, object]:
        """How the instance stands, in ECS and in the store."""
        instance, ledger = self.world.instance(ONE), self.ledger().value
        return {
            "status": instance.status,
            "claimed": ATTRIBUTE in instance.custom,
            "remembered": sorted({*ledger.claims, *ledger.rests}),
        }


IN_SERVICE = {"status": Status.ACTIVE, "claimed": False, "remembered": []}


def rest(desk: Desk, version: Version = NEW) -> Rest:
    return Rest(version, 2, desk.clock.now(), "not-back", rolled_back=True)


def quarantined(*, on_instance: bool = True, in_store: bool = True) -> Desk:
    """An instance that a run left DRAINING, of which one copy of the claim may be lost."""
    desk = Desk()
    claim = desk.claim(ClaimPhase.QUARANTINED)
    desk.drain()
    if on_instance:
        desk.write(claim.encode())
    desk.remember(claim=claim if in_store else None, rest=rest(desk))
    return desk


@pytest.mark.parametrize(("on_instance", "in_store"), [(True, True), (True, False), (False, True)])
def test_a_quarantined_instance_is_given_back_by_whichever_copy_of_its_claim(
    *, on_instance: bool, in_store: bool
) -> None:
    desk = quarantined(on_instance=on_instance, in_store=in_store)
    planned = desk.consider()
    assert [step.partition(":")[0].partition(",")[0] for step in planned.steps()] == [
        f"set {ONE} ACTIVE",
        f"drop our claim on {ONE}",
        f"clear the rest of {ONE}",
    ]
    assert desk.stands()["status"] is Status.DRAINING, "nothing is done before the person agrees"
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


def test_one_that_somebody_returned_already_keeps_nothing_of_its_quarantine() -> None:
    desk = quarantined()
    desk.world.operator_activate(ONE)
    planned = desk.consider()
    assert not any(step.startswith("set ") for step in planned.steps())
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


@pytest.mark.parametrize("phase", [ClaimPhase.DRAINING, ClaimPhase.REBOOTING])
def test_an_instance_in_the_middle_of_its_update_is_not_released(phase: ClaimPhase) -> None:
    desk = Desk()
    desk.drain()
    desk.write(desk.claim(phase).encode())
    with pytest.raises(UsageError, match="the next run finishes what was begun"):
        desk.consider()


def test_a_claim_that_cannot_be_read_is_named_with_what_to_do() -> None:
    desk = Desk()
    desk.drain()
    desk.write("7 somewhere over the rainbow")
    with pytest.raises(UsageError, match=r"7 somewhere over the rainbow.*delete its attribute"):
        desk.consider()


def test_a_rest_is_cleared_and_the_instance_is_not_touched() -> None:
    desk = Desk()
    desk.remember(rest=rest(desk))
    calls = desk.world.calls.by_action["ecs:UpdateContainerInstancesState"]
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE
    assert desk.world.calls.by_action["ecs:UpdateContainerInstancesState"] == calls


def test_an_instance_that_somebody_else_drained_is_not_ours_to_release() -> None:
    desk = Desk()
    desk.world.operator_drain(ONE)
    planned = desk.consider()
    assert planned.steps() == []
    desk.perform(planned)
    assert desk.stands()["status"] is Status.DRAINING


def test_an_instance_that_is_well_has_nothing_to_release() -> None:
    assert Desk().consider().steps() == []


def test_what_is_remembered_of_an_instance_that_left_the_cluster_is_forgotten() -> None:
    desk = Desk()
    desk.remember(claim=desk.claim(ClaimPhase.QUARANTINED), id_=NOWHERE)
    planned = desk.consider(NOWHERE)
    assert planned.steps() == [f"forget our claim on {NOWHERE}: it is in the cluster no more"]
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


def test_an_instance_of_which_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="not in the cluster"):
        Desk().consider(NOWHERE)


def test_a_version_that_failed_is_declared_good_for_all_instances() -> None:
    desk = Desk()
    desk.remember(rest=rest(desk))
    planned = consider_version(NEW, desk.ledger())
    assert planned.steps() == [
        f"declare {NEW} good, though it failed on {ONE}: all instances may take it again",
    ]
    desk.perform(planned)
    ledger = desk.ledger().value
    assert (dict(ledger.failed_on), dict(ledger.rests)) == ({}, {})
    assert NEW in ledger.released


def test_a_version_that_never_failed_has_nothing_to_release() -> None:
    assert consider_version(NEW, Desk().ledger()).steps() == []
