"""A fleet that an earlier version saved is still read."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.core.builders import NOW, a_claim, a_new_boot, claimed, drained_by_us, fleet

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.history import History
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet

EARLIER = NOW - timedelta(hours=1)


def test_a_saved_fleet_may_name_its_values_as_earlier_versions_did() -> None:
    claim = a_claim(ClaimPhase.REBOOTING)
    booted = claimed(claim=claim, progress=drained_by_us(claim, new_boot=a_new_boot(NOW)), check_denied=True)
    past = History(started_nameless=(EARLIER,), started={InstanceId("i-b"): NOW})
    saved = fleet(booted, past=past, hosts_denied=True)
    value = json.loads(write_fleet(saved, "demo"))
    old = value["fleet"]
    one, history = old["instances"][booted.id], old["past"]
    old["hosts_mute"], one["mute"] = old.pop("hosts_denied"), one.pop("check_denied")
    one["progress"]["proof"] = one["progress"].pop("new_boot")
    history["begun"], history["begun_on"] = history.pop("started_nameless"), history.pop("started")
    assert read_fleet(json.dumps(value), "fleet.json") == (saved, "demo")
