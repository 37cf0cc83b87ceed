"""What runs leave in the ledger."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.simulated import NEW, Updater, instance_id, row

from bottlerocket_ecs_updater.core.fleet import Rest
from bottlerocket_ecs_updater.core.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.ledger import with_rest
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.folder import FolderStore
from bottlerocket_ecs_updater.engine.ledger import KeptLedger


def test_what_is_remembered_of_an_instance_that_left_the_cluster_is_forgotten_by_the_next_run(tmp_path: Path) -> None:
    world = row(1)
    gone, there = InstanceId("i-gone"), InstanceId(instance_id(0))
    ledger = KeptLedger(FolderStore(tmp_path), "demo", RunId("run-0"))
    ledger.load()
    until = world.clock.now() + timedelta(hours=1)
    for one in (gone, there):
        ledger.change(lambda value, one=one: with_rest(value, one, Rest(Version.parse(NEW), 1, until, "apply-failed")))  # type: ignore[misc]
    ledger.flush()
    Updater(world, ledger=KeptLedger(FolderStore(tmp_path), "demo", RunId("run-1"))).run()
    kept = KeptLedger(FolderStore(tmp_path), "demo", RunId("run-2"))
    assert kept.load().rests.keys() == {there}
