"""The permission for claims is tested before the first update, and every change of a claim reaches the store."""

from __future__ import annotations

from tests.support.memory_store import MemoryStore
from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.engine.act.claim_writer import PROBE
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError


def test_the_test_of_the_permission_for_claims_is_retried_before_the_next_instance_is_staged() -> None:
    world = row(12)
    tries: list[str] = []

    def authorize(call: Call) -> None:
        if call.operation == "PutAttributes" and call.params["attributes"][0]["name"] == PROBE:
            tries.append(call.operation)
            if len(tries) == 1:
                raise AwsError("ServerException", "Internal error", 500)

    world.authorize = authorize
    assert Updater(world).run().counts["updated"] == 12
    assert len(tries) == 2


def test_a_quarantine_is_in_the_store() -> None:
    """So that runs know whether attributes survive a reboot."""
    dead = InstanceId(instance_id(0))
    world = row(1, services=0, faults={0: (f.BootHangs(),)})
    ledger = KeptLedger(MemoryStore(), "demo", RunId("run-1"))
    assert Updater(world, ledger=ledger).run().counts["quarantined"] == 1
    assert ledger.load().claims[dead].claim.phase is ClaimPhase.QUARANTINED
