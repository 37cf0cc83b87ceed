"""ECS health checks of container instances around an update (F45, F47)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.simulated import NEW, OLD, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.container_instance import HealthStatus
from bottlerocket_ecs_updater.core.model.event import Rebooted, Returned
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, RunOutcome
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.faults import (
    Fault,
    FaultPlan,
    HealthImpaired,
    HealthUnknown,
    Placed,
    RebootIgnored,
    Unknown,
    UpdaterDies,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

FIRST = InstanceId(instance_id(0))
BEFORE = HealthImpaired(after=timedelta(), version=OLD)
AFTER = HealthImpaired(after=timedelta(), version=NEW)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def world_of(*faults: Fault, hosts: int = 2) -> World:
    return row(hosts, faults={0: faults})


def between_boot_and_return(updater: Updater) -> timedelta:
    booted, returned = (
        next(one for one in updater.tape.of(kind) if one.instance == FIRST) for kind in (Rebooted, Returned)
    )
    return returned.at - booted.at


def usual() -> timedelta:
    """How long a healthy host takes from the verification of its boot to its return."""
    updater = Updater(world_of())
    updater.run()
    return between_boot_and_return(updater)


# IMPAIRED


def test_f45_impaired_only_during_the_boot_delays_the_return_until_it_is_healthy_for_a_minute() -> None:
    updater = Updater(world_of(HealthImpaired(after=timedelta(), ends_after=seconds(60), version=NEW)))
    finished = updater.run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 2)
    assert between_boot_and_return(updater) >= seconds(60)


@pytest.mark.parametrize("after", [0, 15, 100])
def test_f45_one_that_flaps_after_its_boot_or_its_return_halts_the_run(after: int) -> None:
    flaps = HealthImpaired(after=seconds(after), ends_after=seconds(20), every=seconds(50), version=NEW)
    world = row(6, plan=FaultPlan((Placed(flaps),)))
    finished = Updater(world).run()
    assert finished.outcome == RunOutcome.HALTED
    assert "IMPAIRED" in finished.why
    assert sum(host.running == NEW for host in world.hosts.values()) <= 3
    assert world.findings().stranded == ()


def test_f45_one_that_flaps_faster_than_it_can_be_well_for_a_minute_is_not_returned_to_service() -> None:
    flaps = HealthImpaired(after=timedelta(), ends_after=seconds(40), every=seconds(55), version=NEW)
    world = world_of(flaps, hosts=3)
    finished = Updater(world).run()
    assert (finished.outcome, finished.counts["quarantined"], finished.counts["updated"]) == (RunOutcome.HALTED, 1, 0)
    assert "IMPAIRED" in str(finished.outcomes[FIRST])
    assert [host.running for host in world.hosts.values()] == [NEW, OLD, OLD]


def test_f45_one_moment_after_its_return_holds_the_next_drain_and_no_more() -> None:
    moment = HealthImpaired(after=seconds(75), ends_after=seconds(45), version=NEW)
    assert Updater(world_of(moment, hosts=3)).run().counts["updated"] == 3


def test_f45_hosts_that_are_impaired_for_a_moment_one_after_the_other_halt_the_run() -> None:
    """Each is IMPAIRED for less than a minute, and only after it returned: together they speak against the version."""
    moment = HealthImpaired(after=seconds(90), ends_after=seconds(40), version=NEW)
    world = row(6, plan=FaultPlan((Placed(moment),)))
    finished = Updater(world).run()
    assert finished.outcome is RunOutcome.HALTED
    assert finished.counts["updated"] <= 4
    assert "IMPAIRED" in finished.why
    assert all(instance_id(number) in finished.why for number in range(3))
    assert world.findings().clean


def test_f45_nor_do_they_if_a_host_with_the_old_version_is_impaired_for_a_moment_too() -> None:
    moment = HealthImpaired(after=seconds(90), ends_after=seconds(40), version=NEW)
    old = HealthImpaired(after=seconds(0), ends_after=seconds(60), every=seconds(120), version=OLD)
    world = row(5, plan=FaultPlan((Placed(moment),)), faults={4: (old,)})
    assert Updater(world).run().outcome is RunOutcome.OK


@pytest.mark.parametrize("after", [0, 40, 150])
def test_f45_one_that_was_impaired_before_says_nothing_against_the_version(after: int) -> None:
    world = world_of(BEFORE, HealthImpaired(after=seconds(after), version=NEW), hosts=3)
    finished = Updater(world).run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 3)


def test_f45_nor_does_one_that_flapped_before() -> None:
    flapped = replace(BEFORE, ends_after=seconds(15), every=seconds(60))
    ledger = UnkeptLedger()
    finished = Updater(world_of(flapped, AFTER, hosts=3), ledger=ledger).run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 3)
    assert ledger.value.past.updated[FIRST].impaired_before


def test_f45_the_next_run_remembers_that_a_host_on_trial_was_impaired_before() -> None:
    world, ledger = world_of(BEFORE, AFTER, hosts=3), UnkeptLedger()
    Updater(world, at_most(1), ledger=ledger).run()
    world.add_instance(HostSpec(instance_id(7), version=OLD), "us-east-1a")
    world.clock.sleep(timedelta(hours=1))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert (finished.outcome, finished.counts["updated"], ledger.value.broken) == (RunOutcome.OK, 1, {})


def test_f45_a_run_that_takes_over_remembers_that_its_host_was_impaired_before() -> None:
    def killed_at(call: int) -> tuple[World, UnkeptLedger, bool]:
        world = row(2, faults={0: (BEFORE, AFTER)}, plan=FaultPlan((Placed(UpdaterDies(call)),)))
        ledger = UnkeptLedger()
        try:
            Updater(world, ledger=ledger).run()
        except KilledError:
            return world, ledger, True
        return world, ledger, False

    for call in range(20, 400, 9):
        world, ledger, killed = killed_at(call)
        if not killed:
            break
        world.clock.sleep(timedelta(minutes=5))
        finished = Updater(world, name="run-2", ledger=ledger).run()
        assert finished.outcome == RunOutcome.OK, call
        assert ledger.value.broken == {}, call
        assert world.hosts[FIRST].running == NEW, call
    assert call > 60


def test_f45_a_host_that_goes_down_for_its_reboot_is_not_impaired_by_the_version() -> None:
    """ECS reports an instance as IMPAIRED (AGENT_CONNECTIVITY) while its agent is disconnected, and a while longer."""
    slow = HealthImpaired("AGENT_CONNECTIVITY", after=timedelta(), ends_after=seconds(25), version=NEW)
    world = world_of(slow, hosts=2)
    finished = Updater(world).run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 2)


def test_f45_a_quarantined_host_comes_back_once_it_has_been_well_for_a_minute() -> None:
    ends = HealthImpaired(after=timedelta(), ends_after=timedelta(hours=2), version=NEW)
    world, ledger = world_of(ends), UnkeptLedger()
    first = Updater(world, ledger=ledger).run()
    assert isinstance(first.outcomes[FIRST], Quarantined)
    again = Updater(world, name="run-2", ledger=ledger).run()
    assert isinstance(again.outcomes[FIRST], Quarantined)
    world.clock.sleep(timedelta(hours=2))
    last = Updater(world, name="run-3", ledger=ledger).run()
    assert last.counts["quarantined"] == 0
    assert world.instance(FIRST).status == "ACTIVE"


# No result


@pytest.mark.parametrize("how", [one for one in Unknown if one is not Unknown.STALE])
@pytest.mark.parametrize("lasts", [40, 90])
def test_f47_a_result_that_comes_late_is_waited_for(how: Unknown, lasts: int) -> None:
    updater = Updater(world_of(HealthUnknown(how, seconds(lasts))))
    assert updater.run().counts["updated"] == 2
    assert between_boot_and_return(updater) < seconds(lasts) + usual() + seconds(20)


@pytest.mark.parametrize("how", list(Unknown))
def test_f47_a_run_waits_two_minutes_at_most_for_a_result_that_never_comes(how: Unknown) -> None:
    updater = Updater(world_of(HealthUnknown(how, None), hosts=2))
    finished = updater.run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 2)
    assert seconds(110) <= between_boot_and_return(updater) < seconds(150)


@pytest.mark.parametrize("how", [Unknown.ABSENT])
def test_f47_an_agent_that_never_reported_a_result_is_not_waited_for(how: Unknown) -> None:
    updater = Updater(world_of(HealthUnknown(how, None, from_start=True)))
    assert updater.run().counts["updated"] == 2
    assert between_boot_and_return(updater) <= usual() + seconds(1)


def test_f47_impaired_behind_initializing_is_seen_in_time() -> None:
    late = HealthUnknown(Unknown.INITIALIZING, seconds(90))
    world = world_of(late, AFTER, hosts=3)
    finished = Updater(world).run()
    assert (finished.outcome, finished.counts["quarantined"]) == (RunOutcome.HALTED, 1)
    assert [host.running for host in world.hosts.values()] == [NEW, OLD, OLD]


def test_f47_an_old_ok_from_before_the_boot_proves_nothing() -> None:
    world = world_of(HealthUnknown(Unknown.STALE, seconds(80)), AFTER, hosts=3)
    finished = Updater(world).run()
    assert (finished.outcome, finished.counts["quarantined"]) == (RunOutcome.HALTED, 1)


def test_f47_without_a_result_a_quarantined_host_comes_back_anyway() -> None:
    faults = (RebootIgnored(), HealthUnknown(Unknown.INSUFFICIENT_DATA, None, from_start=True))
    world, ledger = world_of(*faults), UnkeptLedger()
    policy = Policy(reboot_timeout=timedelta(minutes=5))
    Updater(world, policy, ledger=ledger).run()
    world.hosts[FIRST].stop()
    world.clock.sleep(timedelta(minutes=5))
    world.hosts[FIRST].start()
    world.clock.sleep(timedelta(days=2))
    Updater(world, policy, name="run-2", ledger=ledger).run()
    assert world.instance(FIRST).status == "ACTIVE"


def test_the_statuses_are_those_of_the_api() -> None:
    from botocore.loaders import Loader  # noqa: PLC0415 - only to compare

    shapes = Loader().load_service_model("ecs", "service-2")["shapes"]
    assert {one.value for one in HealthStatus} == set(shapes["InstanceHealthCheckState"]["enum"])
