"""Faults of a reboot, and of services that must come back after it (F16 to F25, F27 to F29)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.faults.town import USUAL_MINUTES, Town, befall

from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD

REBOOT_LIMIT_MINUTES = 20


def check_updated(town: Town, *, boots: int = 1, minutes: float = USUAL_MINUTES) -> None:
    """In the first run, like the other hosts, with that many boots."""
    assert town.fates == ["updated", "up-to-date"]
    assert town.exits == [0, 0]
    assert (town.boots, town.version) == (boots, NEW)
    assert town.minutes_out < minutes
    assert town.minutes_out_of_the_others < USUAL_MINUTES
    assert town.updated_the_others()


@pytest.mark.parametrize(
    ("ending", "boots"),
    [
        (f.RebootEnding.SUCCESS, 1),
        (f.RebootEnding.STUCK, 1),
        (f.RebootEnding.WORKER_TIMED_OUT, 1),
        (f.RebootEnding.KILLED, 1),
        (f.RebootEnding.RUN_AGAIN, 2),
    ],
)
def test_f16_a_host_is_updated_once_it_boots_with_any_result_of_the_command(ending: f.RebootEnding, boots: int) -> None:
    town = befall(f.RebootEnds(ending), plain_reboots=True)
    # A success that is reported after the boot may mean one more reboot, which an inhibitor may delay by five
    # minutes.
    check_updated(town, boots=boots, minutes=9 if ending is f.RebootEnding.RUN_AGAIN else USUAL_MINUTES)
    assert town.sent("reboot") == 1


@pytest.mark.parametrize("ending", list(f.RebootEnding))
def test_f16_a_command_that_is_bound_to_the_old_boot_does_nothing_on_the_new_one(ending: f.RebootEnding) -> None:
    town = befall(f.RebootEnds(ending, times=None))
    check_updated(town, minutes=USUAL_MINUTES)
    assert (town.boots, town.sent("reboot")) == (1, 1)


def test_f17_a_host_that_refuses_a_reboot_once_gets_another_command() -> None:
    town = befall(f.RebootRefused())
    check_updated(town, minutes=4)
    assert town.sent("reboot") == 2


def test_f17_a_run_waits_for_a_delayed_reboot_and_sends_only_one_command() -> None:
    town = befall(f.RebootDelayed())
    check_updated(town, minutes=8)
    assert town.sent("reboot") == 1


def test_f17_a_host_that_always_refuses_to_reboot_is_returned_and_backs_off_longer_each_time() -> None:
    town = befall(f.RebootRefused(times=None))
    assert town.fates == ["reboot-refused"] * 3 + ["backing-off"]
    assert town.exits == [3, 3, 3, 0]
    assert (town.boots, town.version) == (0, OLD)
    assert town.minutes_out < 3 * 5
    assert "inhibited" in town.words()
    assert town.updated_the_others()


def test_f18_a_host_that_accepts_a_reboot_and_never_goes_down_is_left_to_a_person() -> None:
    """Its shutdown is pending: if it were returned, its new tasks would be killed."""
    town = befall(f.RebootIgnored(times=None))
    assert town.fates == ["quarantined:reboot-stalled", "quarantined:still-quarantined"]
    assert town.exits[0] == 4
    assert (town.boots, town.version) == (0, OLD)
    assert town.sent("reboot") == 1


@pytest.mark.parametrize("fault", [f.GrubFails(), f.RollsBack()], ids=["f19", "f25"])
def test_f19_f25_a_host_that_falls_back_is_returned_and_not_tried_again_until_a_person_says_so(
    fault: f.GrubFails | f.RollsBack,
) -> None:
    town = befall(fault)
    assert town.fates == ["rolled-back", "backing-off"]
    assert town.exits == [3, 3]
    assert (town.boots, town.version) == (1, OLD)
    assert town.minutes_out < USUAL_MINUTES
    assert town.sent("reboot") == 1
    assert town.updated_the_others()


# Hosts that do not come back

NEVER_BACK = [f.BootHangs(), f.DockerDead(), f.ControlContainerMissing(), f.EcsAgentTerminal()]
NAMES = ["f20", "f21", "f22", "f24"]


@pytest.mark.parametrize("fault", NEVER_BACK, ids=NAMES)
def test_f20_f21_f22_f24_a_host_that_does_not_come_back_is_quarantined_and_stops_a_run_with_one_slot(
    fault: f.Fault,
) -> None:
    town = befall(fault)
    assert town.fates == ["quarantined:not-back", "quarantined:still-quarantined"]
    assert town.exits == [4, 4]
    assert town.of_the_others() == town.of_the_others(run=1) == {"halted"}
    assert town.sent("reboot") == 1
    assert town.took() < timedelta(minutes=REBOOT_LIMIT_MINUTES + USUAL_MINUTES)
    assert town.took(run=1) < timedelta(minutes=3)
    assert "20m" in town.words()


@pytest.mark.parametrize("fault", NEVER_BACK, ids=NAMES)
def test_f20_f21_f22_f24_a_host_that_does_not_come_back_fills_one_slot_of_two_and_the_others_are_updated(
    fault: f.Fault,
) -> None:
    town = befall(fault, hosts=6, budget=2)
    assert town.fates == ["quarantined:not-back", "quarantined:still-quarantined"]
    assert town.exits == [3, 3]
    assert town.boots <= 1
    assert town.updated_the_others()


@pytest.mark.parametrize(
    "fault",
    [f.ControlContainerMissing(returns_after=timedelta(minutes=30)), f.EcsAgentLate(timedelta(minutes=30))],
    ids=["f22", "f23"],
)
def test_f22_f23_a_host_that_comes_back_after_the_limit_is_returned_by_the_next_run(
    fault: f.Fault,
) -> None:
    town = befall(fault)
    assert town.fates == ["quarantined:not-back", "updated", "up-to-date"]
    assert town.exits == [4, 0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.of_the_others() == {"halted"}
    assert town.updated_the_others(run=1)


def test_f22_a_host_whose_control_container_comes_minutes_late_is_waited_for() -> None:
    check_updated(befall(f.ControlContainerMissing(returns_after=timedelta(minutes=10))), minutes=13)


def test_f23_a_host_whose_ecs_agent_is_late_and_flaps_is_returned_when_it_is_steady() -> None:
    check_updated(befall(f.EcsAgentLate()), minutes=7)


# Systems Manager


@pytest.mark.parametrize("times", [1, None])
def test_f27_a_check_that_gets_stuck_after_the_boot_takes_a_minute(times: int | None) -> None:
    check_updated(befall(f.CheckStuckAfterBoot(times=times)), minutes=USUAL_MINUTES + 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (f.OutOfReach.NEVER_REGISTERED, "unknown-to-ssm"),
        (f.OutOfReach.CONNECTION_LOST, "ssm-connection-lost"),
    ],
)
def test_f28_a_host_that_ssm_cannot_reach_is_held_and_sent_nothing(kind: f.OutOfReach, reason: str) -> None:
    town = befall(f.SsmUnreachable(kind))
    assert town.fates == [reason, reason]
    assert town.exits == [0, 0]
    assert town.minutes_out == town.boots == 0
    assert town.sent("check") == 0
    assert town.updated_the_others()


def test_f28_a_host_that_ssm_loses_while_it_is_drained_is_waited_for_within_the_limit() -> None:
    town = befall(
        f.SsmUnreachable(f.OutOfReach.CONNECTION_LOST, at=timedelta(seconds=100), lasts=timedelta(minutes=10))
    )
    check_updated(town, minutes=REBOOT_LIMIT_MINUTES)


def test_f29_a_check_that_ran_and_is_reported_undeliverable_is_sent_again() -> None:
    town = befall(f.ReportedUndeliverable())
    check_updated(town)


def test_f29_a_host_whose_commands_are_always_reported_undeliverable_is_held_and_not_disturbed() -> None:
    town = befall(f.ReportedUndeliverable(times=None))
    assert set(town.fates) == {"no-answer"}
    assert set(town.exits) == {0}
    assert town.minutes_out == town.boots == 0
    assert town.updated_the_others()
