"""How a host goes down and comes back, and how it falls back to the previous version."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.host_bench import MINUTE, NEW, RUNNING, SECOND, bench

from bottlerocket_ecs_updater.simulator.faults import BootHangs, GrubFails, RollsBack, Step
from bottlerocket_ecs_updater.simulator.host import HostTiming, Power


def test_a_host_is_up_and_connected_when_it_enters_the_world() -> None:
    host = bench().host
    assert (host.power, host.ssm_agent_up, host.ecs_agent_up, host.boots) == (Power.RUNNING, True, True, 1)


def test_a_reboot_is_heard_of_in_the_order_in_which_it_happens() -> None:
    host = bench()
    host.reboot()
    assert host.heard == [
        ("step", Step.REBOOT),
        ("died", "apiclient reboot"),
        ("ecs", False),
        ("ssm", False),
        ("step", Step.BOOT),
        ("boot", RUNNING),
        ("ssm", True),
        ("ecs", True),
    ]


def test_a_reboot_takes_as_long_as_its_parts() -> None:
    host = bench()
    began = host.clock.now()
    host.host.reboot("test")
    up = host.until(lambda: host.host.power is Power.RUNNING)
    ssm = host.until(lambda: host.host.ssm_agent_up)
    ecs = host.until(lambda: host.host.ecs_agent_up)
    assert [round((when - began).total_seconds()) for when in (up, ssm, ecs)] == [43, 53, 55]


def test_containers_die_when_docker_stops_and_not_when_the_power_goes() -> None:
    host = bench(timing=HostTiming(shutdown=MINUTE))
    began = host.clock.now()
    host.host.reboot("test")
    assert host.until(lambda: bool(host.events("died"))) - began == SECOND


def test_a_reboot_boots_once_into_the_version_that_is_ready() -> None:
    host = bench()
    host.make("Ready")
    host.reboot()
    assert (host.host.running, host.host.boots, host.events("boot")) == (NEW, 2, [NEW])


@pytest.mark.parametrize("state", ["none", "Idle", "Available", "Staged"])
def test_a_reboot_without_an_activated_update_boots_the_same_version(state: str) -> None:
    host = bench()
    host.make(state)
    host.reboot()
    assert (host.host.running, host.state()) == (RUNNING, "none")


def test_a_staged_update_that_was_rebooted_away_is_available_again() -> None:
    host = bench()
    host.make("Staged")
    host.reboot()
    assert host.check()["update_state"] == "Available"


def test_the_platform_that_ssm_sees_follows_the_version() -> None:
    assert bench(version="1.6.2").host.platform == ("Amazon Linux", "2")
    assert bench(version="1.7.0").host.platform == ("Bottlerocket", "1.7.0")


def test_a_second_reboot_while_it_goes_down_changes_nothing() -> None:
    host = bench()
    host.host.reboot("first")
    host.pass_time(3 * SECOND)
    host.host.reboot("second")
    host.pass_time(2 * MINUTE)
    assert (host.host.boots, host.events("died")) == (2, ["first"])


def test_a_reboot_while_it_boots_starts_the_boot_again() -> None:
    host = bench()
    host.host.reboot("first")
    host.pass_time(20 * SECOND)
    host.host.reboot("second")
    host.pass_time(40 * SECOND)
    assert (host.host.power, host.host.boots) == (Power.BOOTING, 1)
    host.pass_time(MINUTE)
    assert (host.host.power, host.host.boots) == (Power.RUNNING, 2)


def test_an_update_whose_first_boot_is_interrupted_falls_back() -> None:
    # Its only try was used up when GRUB picked it.
    host = bench()
    host.make("Ready")
    host.host.reboot("into the update")
    host.pass_time(20 * SECOND)
    host.host.reboot("impatience")
    host.pass_time(2 * MINUTE)
    assert host.host.running == RUNNING


def test_agents_that_were_to_start_do_not_start_in_a_shutdown() -> None:
    host = bench()
    host.host.reboot("first")
    host.pass_time(45 * SECOND)
    host.host.reboot("second, before the agents are back")
    host.pass_time(30 * SECOND)
    assert (host.host.ssm_agent_up, host.host.ecs_agent_up) == (False, False)


def test_a_power_cut_in_prepare_leaves_the_running_version_bootable() -> None:
    host = bench()
    host.check()
    host.start("apiclient update apply")
    host.pass_time(5 * SECOND)
    host.host.reboot("power")
    host.pass_time(2 * MINUTE)
    assert (host.host.running, host.host.power, host.host.partitions.inactive.image) == (RUNNING, Power.RUNNING, None)


def test_grub_falls_back_by_itself_half_a_minute_later() -> None:
    host = bench(GrubFails())
    host.make("Ready")
    began = host.clock.now()
    host.host.reboot("into the update")
    back = host.until(lambda: host.host.power is Power.RUNNING)
    assert (host.host.running, round((back - began).total_seconds())) == (RUNNING, 8 + 30 + 35)


def test_after_a_rollback_the_host_looks_as_if_nothing_had_been_tried() -> None:
    host = bench(GrubFails())
    host.make("Ready")
    host.reboot()
    status = host.check()
    assert status["update_state"] == "Available"
    assert status["chosen_update"]["version"] == NEW
    assert status["active_partition"] == {
        "image": {"arch": "x86_64", "variant": "aws-ecs-2", "version": RUNNING},
        "next_to_boot": True,
    }


def test_a_rollback_once_is_no_obstacle_to_the_next_try() -> None:
    host = bench(GrubFails(times=1))
    for _ in range(2):
        host.make("Ready")
        host.reboot()
    assert host.host.running == NEW


def test_a_version_that_never_boots_rolls_back_each_time() -> None:
    host = bench(RollsBack(NEW))
    for _ in range(3):
        host.make("Ready")
        host.reboot()
    assert host.host.running == RUNNING


def test_a_hanging_boot_stays_dead_until_somebody_reboots_it() -> None:
    host = bench(BootHangs(NEW))
    host.make("Ready")
    host.host.reboot("into the update")
    host.pass_time(timedelta(days=1))
    assert (host.host.power, host.host.ssm_agent_up, host.host.ecs_agent_up) == (Power.HUNG, False, False)
    host.host.reboot("EC2")
    host.pass_time(2 * MINUTE)
    assert (host.host.power, host.host.running, host.host.ssm_agent_up) == (Power.RUNNING, RUNNING, True)


def test_a_downgrade_boots_as_an_update_does() -> None:
    host = bench(version=NEW)
    host.repository.retract(NEW)
    host.make("Ready")
    host.reboot()
    assert host.host.running == RUNNING


def test_a_terminated_host_is_gone_with_its_containers_and_never_comes_back() -> None:
    host = bench()
    host.host.terminate()
    host.host.terminate()
    host.host.reboot("too late")
    host.pass_time(timedelta(days=1))
    assert host.heard == [
        ("died", "the instance was terminated"),
        ("ecs", False),
        ("ssm", False),
        ("terminated", None),
    ]
