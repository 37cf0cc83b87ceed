"""Container instances that register again during their update, and a cluster that is deleted meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.world.world import World

FIRST = InstanceId(instance_id(0))
"""The instance that a run updates first."""

DRAINS, REBOOTS, COMES_BACK = (timedelta(seconds=each) for each in (35, 60, 104))


def register_again(world: World, *, old_stays: bool) -> None:
    """The agent loses its state: the instance registers under a new ARN, ACTIVE and without our claim."""
    old = world.instance(FIRST)
    assert CLAIM_ATTRIBUTE in old.custom
    if old_stays:
        old.agent_up = old.agent_connected = False
        world.ecs.registry.instance_changed(old)
    else:
        world.ecs.agents.deregister(old, "by hand")
    world.ecs.agents.register(world.cluster, old.spec)


@pytest.mark.parametrize("old_stays", [False, True], ids=["deregistered", "left-behind"])
@pytest.mark.parametrize("after", [DRAINS, REBOOTS, COMES_BACK], ids=["drains", "reboots", "comes-back"])
def test_an_instance_that_registers_under_another_arn_keeps_no_claim_and_no_slot(
    after: timedelta, *, old_stays: bool
) -> None:
    """During the drain, somebody else was said to have set it ACTIVE."""
    world, ledger = row(3), UnkeptLedger()
    world.clock.after(after, lambda: register_again(world, old_stays=old_stays))
    finished = Updater(world, ledger=ledger).run()
    outcome = finished.outcomes[FIRST]
    if after is DRAINS:
        assert isinstance(outcome, Hold)
        assert outcome.reason is Reason.CHANGED_WHILE_DRAINING
        assert str(outcome).endswith("it has registered in ECS under another ARN")
    else:
        assert isinstance(outcome, Updated)
    assert (finished.exit_code, finished.counts["updated"]) == (0, 3 - (after is DRAINS))
    assert not ledger.value.claims
    registered = [one for one in world.cluster.instances.values() if one.status is not InstanceStatus.INACTIVE]
    assert not any(CLAIM_ATTRIBUTE in one.custom for one in registered)
    assert Updater(world, name="run-2", ledger=ledger).run().exit_code == 0
    assert {host.running for host in world.hosts.values()} == {"1.21.0"}
    findings = world.findings()
    assert (findings.violations, findings.stranded) == ((), ())
    assert not any(task.by_updater for task in findings.tasks_killed)


def delete_cluster(world: World) -> None:
    for instance in list(world.cluster.instances.values()):
        world.ecs.agents.deregister(instance, "the cluster is deleted")
    world.ecs.registry.delete_cluster(world.cluster)


@pytest.mark.parametrize("after", [DRAINS, REBOOTS], ids=["drains", "reboots"])
def test_a_cluster_that_is_deleted_during_an_update_ends_the_run_with_an_error_that_names_it(after: timedelta) -> None:
    world, ledger = row(3), UnkeptLedger()
    world.clock.after(after, lambda: delete_cluster(world))
    finished = Updater(world, ledger=ledger).run()
    check_not_found(finished)
    assert finished.took < after + timedelta(minutes=1)
    check_not_found(Updater(world, name="run-2", ledger=ledger).run())


def check_not_found(finished: RunFinished) -> None:
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert finished.why.startswith("demo does not exist")


def test_a_claim_of_a_deleted_cluster_is_dropped_in_a_new_cluster_of_that_name() -> None:
    world, ledger = row(3), UnkeptLedger()
    world.clock.after(DRAINS, lambda: delete_cluster(world))
    Updater(world, ledger=ledger).run()
    assert FIRST in ledger.value.claims
    world.cluster = world.ecs.registry.create_cluster("demo")
    finished = Updater(world, name="run-2", ledger=ledger).run()
    outcome = finished.outcomes[FIRST]
    assert isinstance(outcome, Hold)
    assert (outcome.reason, finished.exit_code) == (Reason.GONE, 0)
    assert not ledger.value.claims
