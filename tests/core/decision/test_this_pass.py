"""What many instances need is found once in a pass, so that deciding takes time in proportion to the instances."""

from __future__ import annotations

from collections.abc import ItemsView
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.core import builders as b

from bottlerocket_ecs_updater.core.decision.evidence import evidence_is_old
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import History, PastUpdate
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.services import Services
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
ID = InstanceId("i-0000000000000000a")
CLAIM = Claim(ClaimPhase.DRAINING, RunId("run-1"), OLD, NEW, BootId("boot-1"), NOW)


class Counted(dict[InstanceId, PastUpdate]):
    """The last updates, which count how often all of them are read."""

    reads = 0

    def items(self) -> ItemsView[InstanceId, PastUpdate]:  # type: ignore[override]
        self.reads += 1
        return super().items()


def updated(at: datetime) -> Counted:
    return Counted({ID: PastUpdate(NEW, at)})


def fleet_with(past: Counted) -> Fleet:
    return Fleet(RunId("run-1"), NOW, NOW, NOW, {ID: Instance(ID)}, past=History(updated=past))


def test_what_is_found_in_a_pass_is_found_once() -> None:
    finds: list[Pass] = []

    def find(this_pass: Pass) -> int:
        finds.append(this_pass)
        return len(finds)

    first, second = (Pass(fleet_with(updated(NOW)), Policy()) for _ in range(2))
    assert [first.once(find), first.once(find), second.once(find)] == [1, 1, 2]


def test_two_passes_over_any_fleet_are_equal() -> None:
    fleet = fleet_with(updated(NOW))
    first, second = Pass(fleet, Policy()), Pass(fleet, Policy())
    count_budget(first)
    assert first == second


def test_the_hosts_on_trial_are_read_once_for_any_number_of_claims() -> None:
    past = updated(NOW - timedelta(minutes=1))
    this_pass = Pass(fleet_with(past), Policy())
    assert all(evidence_is_old(replace(CLAIM, boot=BootId(f"boot-{number}")), this_pass) for number in range(100))
    assert past.reads == 1


def test_a_version_that_no_host_runs_yet_needs_no_evidence() -> None:
    this_pass = Pass(fleet_with(updated(NOW)), Policy())
    assert not evidence_is_old(replace(CLAIM, target=Version(1, 22, 0)), this_pass)


def test_hosts_that_were_launched_with_a_version_do_not_stand_in_for_those_that_were_updated_to_it() -> None:
    launched, waits, tried = (
        b.instance("i-a", b.idle(b.NEW)),
        b.instance("i-b", b.ready()),
        b.instance("i-c", b.idle(b.NEW)),
    )
    of_70_seconds = b.fleet(launched, waits, tried, services=Services((b.service(),), b.NOW - timedelta(seconds=70)))
    lately = History(updated={tried.id: PastUpdate(b.NEW, b.NOW - timedelta(minutes=3))})
    assert not evidence_is_old(b.a_claim(), Pass(of_70_seconds, Policy())), "launched hosts have run it for a day"
    assert evidence_is_old(b.a_claim(), Pass(replace(of_70_seconds, past=lately), Policy()))
