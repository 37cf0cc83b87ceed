"""The events that a run emits about its instances: everything important, once."""

from __future__ import annotations

from datetime import timedelta

from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import InstanceHeld
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.state.ledger import with_backoff
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec


def test_why_an_instance_was_returned_to_service_is_said_once() -> None:
    world = row(2, services=0)
    world.add_service(ServiceSpec("stays", desired=2, minimum_healthy_percent=100, maximum_percent=100))
    updater = Updater(world, Policy(rules=Rules(check_room=False)))
    updater.run()
    held = [(event.instance, event.hold.reason) for event in updater.tape.of(InstanceHeld)]
    first, second = sorted(world.hosts)
    assert held == [(second, Reason.DRAIN_BLOCKED), (first, Reason.DRAIN_TIMED_OUT)]


def test_an_instance_that_failed_once_and_then_left_the_cluster_is_not_mentioned() -> None:
    world, store = row(2), MemoryStore()
    here, gone = InstanceId(instance_id(0)), InstanceId(instance_id(7))
    earlier = KeptLedger(store, "demo", RunId("run-0"))
    earlier.load()
    backoff = Backoff(Version.parse(NEW), 1, world.clock.now() + timedelta(hours=1), "apply-failed")
    for id_ in (here, gone):
        earlier.change(lambda ledger, id_=id_: with_backoff(ledger, instance=id_, backoff=backoff))  # type: ignore[misc]
    earlier.flush()
    finished = Updater(world, ledger=KeptLedger(store, "demo", RunId("run-1"))).run()
    assert {id_: getattr(one, "reason", None) for id_, one in finished.outcomes.items()} == {
        here: Reason.BACKING_OFF,
        InstanceId(instance_id(1)): None,
    }
