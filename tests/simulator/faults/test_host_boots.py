"""Each fault of a reboot, and of what must come back after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.host_bench import MINUTE, NEW, RUNNING, SECOND, Bench, bench

from bottlerocket_ecs_updater.simulator.faults import (
    BootHangs,
    ControlContainerMissing,
    DockerDead,
    EcsAgentLate,
    EcsAgentTerminal,
    Fault,
    GrubFails,
    OutOfReach,
    RebootDelayed,
    RebootEnding,
    RebootEnds,
    RebootIgnored,
    RebootRefused,
    RollsBack,
    SsmUnreachable,
)
from bottlerocket_ecs_updater.simulator.host import Power


def updated(*faults: Fault) -> Bench:
    """A host that was sent a reboot into NEW ten minutes ago."""
    host = bench(*faults)
    host.make("Ready")
    host.host.reboot("into the update")
    host.pass_time(10 * MINUTE)
    return host


def test_f16_a_reboot_that_cuts_its_own_command_off_still_reboots() -> None:
    host = bench(RebootEnds(RebootEnding.STUCK))
    result = host.run("apiclient reboot")
    assert (result.exit_code, result.cut) == (143, RebootEnding.STUCK)
    host.pass_time(2 * MINUTE)
    assert host.host.boots == 2


def test_f17_a_refused_reboot_does_not_happen_and_the_next_one_does() -> None:
    host = bench(RebootRefused())
    assert host.run("apiclient reboot").exit_code == 1
    host.pass_time(10 * MINUTE)
    assert host.host.boots == 1
    host.reboot()
    assert host.host.boots == 2


def test_f17_a_delayed_reboot_is_accepted_and_happens_later() -> None:
    host = bench(RebootDelayed(4 * MINUTE))
    assert host.run("apiclient reboot").exit_code == 0
    host.pass_time(3 * MINUTE)
    assert (host.host.power, host.host.boots) == (Power.RUNNING, 1)
    host.pass_time(3 * MINUTE)
    assert host.host.boots == 2


def test_f18_an_ignored_reboot_is_accepted_and_never_happens() -> None:
    host = bench(RebootIgnored())
    assert host.run("apiclient reboot").exit_code == 0
    host.pass_time(timedelta(days=1))
    assert (host.host.boots, host.heard[1:]) == (1, [])


def test_f19_grub_failing_rolls_back_by_itself() -> None:
    host = updated(GrubFails(NEW))
    assert (host.host.running, host.host.boots, host.host.power) == (RUNNING, 2, Power.RUNNING)


def test_f19_grub_failing_for_another_version_changes_nothing() -> None:
    assert updated(GrubFails("9.9.9")).host.running == NEW


def test_f20_a_hanging_boot_rolls_back_when_somebody_reboots() -> None:
    host = updated(BootHangs())
    assert host.host.power is Power.HUNG
    host.host.reboot("EC2")
    host.pass_time(10 * MINUTE)
    assert (host.host.power, host.host.running) == (Power.RUNNING, RUNNING)


def test_f21_a_version_with_a_dead_docker_stays_and_has_no_ecs_agent() -> None:
    host = updated(DockerDead())
    assert (host.host.running, host.host.ssm_agent_up, host.host.ecs_agent_up) == (NEW, True, False)
    host.reboot()
    assert (host.host.running, host.host.ecs_agent_up) == (NEW, False)


def test_f21_a_dead_docker_is_the_versions_and_not_the_hosts() -> None:
    host = bench(DockerDead(NEW))
    host.reboot()
    assert host.host.ecs_agent_up


def test_f22_without_its_control_container_a_host_is_up_and_out_of_reach() -> None:
    host = updated(ControlContainerMissing())
    assert (host.host.running, host.host.ssm_agent_up, host.host.ecs_agent_up) == (NEW, False, True)


def test_f22_a_control_container_may_be_pulled_late() -> None:
    host = updated(ControlContainerMissing(returns_after=15 * MINUTE))
    assert not host.host.ssm_agent_up
    host.pass_time(10 * MINUTE)
    assert host.host.ssm_agent_up


def test_f23_a_late_ecs_agent_flaps_before_it_stays() -> None:
    host = bench(EcsAgentLate(3 * MINUTE, flaps=2))
    host.reboot()
    assert not host.host.ecs_agent_up
    host.pass_time(10 * MINUTE)
    assert host.events("ecs") == [False, True, False, True, False, True]


def test_f24_an_ecs_agent_that_ended_for_good_does_not_come_back_with_any_boot() -> None:
    host = bench(EcsAgentTerminal())
    assert host.host.ecs_agent_up
    for _ in range(3):
        host.reboot()
    assert (host.host.ecs_agent_up, host.host.ssm_agent_up) == (False, True)


def test_f25_a_version_that_rolls_back_does_so_each_time() -> None:
    host = updated(RollsBack())
    for _ in range(2):
        assert host.host.running == RUNNING
        host.make("Ready")
        host.reboot()
    assert host.host.running == RUNNING


@pytest.mark.parametrize("kind", list(OutOfReach))
def test_f28_a_host_that_ssm_cannot_reach_runs_anyway(kind: OutOfReach) -> None:
    host = bench(SsmUnreachable(kind))
    assert (host.host.power, host.host.ssm_agent_up, host.host.ecs_agent_up) == (Power.RUNNING, False, True)
    host.host.reboot("test")
    host.pass_time(5 * MINUTE)
    assert not host.host.ssm_agent_up


def test_f28_a_connection_is_lost_at_its_time_and_comes_back_at_its_time() -> None:
    host = bench(SsmUnreachable(OutOfReach.CONNECTION_LOST, at=MINUTE, lasts=MINUTE))
    seen = []
    for _ in range(3):
        seen.append(host.host.ssm_agent_up)
        host.pass_time(61 * SECOND)
    assert seen == [True, False, True]
