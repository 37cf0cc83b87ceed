"""What runs leave in the ledger."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from tests.support.simulated import NEW, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import with_backoff
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger


def test_records_of_an_instance_that_left_the_cluster_are_dropped_a_week_later(tmp_path: Path) -> None:
    world = row(1)
    gone, there = InstanceId("i-gone"), InstanceId(instance_id(0))
    ledger = KeptLedger(FolderStore(tmp_path), "demo", RunId("run-0"))
    ledger.load()
    until = world.clock.now() + timedelta(hours=1)
    for one in (gone, there):
        backoff = Backoff(Version.parse(NEW), 1, until, "apply-failed")
        ledger.change(partial(with_backoff, instance=one, backoff=backoff))
    ledger.flush()
    for number, kept in enumerate(({gone, there}, {there})):
        run = KeptLedger(FolderStore(tmp_path), "demo", RunId(f"run-{number}"))
        Updater(world, name=f"run-{number}", ledger=run).run()
        assert KeptLedger(FolderStore(tmp_path), "demo", RunId("reader")).load().backoffs.keys() == kept
        world.clock.sleep(timedelta(days=8))
