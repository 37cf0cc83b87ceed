"""The result of a command that a reboot interrupts: five endings, none of which shows what happened."""

from __future__ import annotations

import pytest
from tests.simulator.ssm_bench import SsmBench, ssm_bench

from bottlerocket_ecs_updater.simulator.faults import (
    ApplyKilled,
    CheckStuckAfterBoot,
    Moment,
    RebootEnding,
    RebootEnds,
    ReportedUndeliverable,
)


def rebooted(bench: SsmBench, seconds: float) -> str:
    command_id = bench.send("reboot", TimeoutSeconds=600)
    bench.pass_time(seconds)
    return command_id


@pytest.mark.parametrize("faults", [(), (RebootEnds(RebootEnding.SUCCESS),)])
def test_a_reboot_that_the_agent_reports_in_time_succeeds(faults: tuple[RebootEnds, ...]) -> None:
    bench = ssm_bench(*faults)
    command_id = rebooted(bench, 120)
    assert (bench.end(command_id), bench.hosts[0].boots) == (("Success", "Success", 0), 2)


def test_a_reboot_without_a_result_stays_in_progress_until_it_expires() -> None:
    bench = ssm_bench(RebootEnds(RebootEnding.STUCK))
    command_id = rebooted(bench, 2399)
    assert (bench.end(command_id)[0], bench.hosts[0].boots) == ("InProgress", 2)
    bench.pass_time(1)
    assert bench.end(command_id) == ("TimedOut", "DeliveryTimedOut", -1)


def test_a_reboot_whose_worker_is_missed_fails_a_minute_after_the_agent_is_back() -> None:
    bench = ssm_bench(RebootEnds(RebootEnding.WORKER_TIMED_OUT))
    command_id = rebooted(bench, 110)
    assert bench.end(command_id)[0] == "InProgress"
    bench.pass_time(10)
    assert bench.end(command_id) == ("Failed", "Failed", -1)
    answer = bench.answer(command_id)
    assert answer["StandardOutputContent"] == ""
    assert answer["StandardErrorContent"].startswith("document process failed unexpectedly: document worker timed")


def test_a_reboot_that_kills_its_own_command_fails_with_143() -> None:
    bench = ssm_bench(RebootEnds(RebootEnding.KILLED))
    command_id = rebooted(bench, 120)
    assert (bench.end(command_id), bench.hosts[0].boots) == (("Failed", "Failed", 143), 2)


def test_a_reboot_that_is_run_again_boots_the_host_twice() -> None:
    bench = ssm_bench(RebootEnds(RebootEnding.RUN_AGAIN))
    command_id = rebooted(bench, 240)
    assert (bench.end(command_id), bench.hosts[0].boots) == (("Success", "Success", 0), 3)


def test_a_document_that_keeps_rebooting_is_given_up_after_fifteen_runs() -> None:
    bench = ssm_bench(RebootEnds(RebootEnding.RUN_AGAIN, times=None))
    rebooted(bench, 3 * 3600)
    assert bench.hosts[0].boots == 16


def test_an_apply_under_which_somebody_reboots_the_host_fails_without_output() -> None:
    bench = ssm_bench()
    bench.run("apiclient update check", wait=10)
    command_id = bench.send("apply")
    bench.pass_time(5)
    bench.hosts[0].reboot("an operator")
    bench.pass_time(120)
    assert bench.end(command_id) == ("Failed", "Failed", -1)


def test_a_check_right_after_the_boot_gets_stuck_until_it_expires() -> None:
    bench = ssm_bench(CheckStuckAfterBoot())
    rebooted(bench, 55)
    command_id = bench.send("check", TimeoutSeconds=600)
    bench.pass_time(2000)
    assert bench.end(command_id)[0] == "InProgress"
    bench.pass_time(401)
    assert bench.end(command_id) == ("TimedOut", "DeliveryTimedOut", -1)


def test_a_check_some_time_after_the_boot_does_not() -> None:
    bench = ssm_bench(CheckStuckAfterBoot())
    rebooted(bench, 120)
    command_id = bench.send("check")
    bench.pass_time(10)
    assert bench.end(command_id)[0] == "Success"


def test_a_command_that_is_reported_undeliverable_may_have_run() -> None:
    bench = ssm_bench(ReportedUndeliverable())
    answer = bench.run("apiclient reboot", wait=120)
    assert (answer["StatusDetails"], answer["ResponseCode"], bench.hosts[0].boots) == ("Undeliverable", -1, 2)


def test_an_apply_that_is_killed_fails_with_137_and_its_prepare_goes_on() -> None:
    bench = ssm_bench(ApplyKilled(Moment.DURING_PREPARE))
    bench.run("apiclient update check", wait=10)
    command_id = bench.send("apply")
    bench.pass_time(30)
    assert bench.end(command_id) == ("Failed", "Failed", 137)
    status = bench.hosts[0].update_status
    assert status is not None
    assert status.update_state == "Staged"


def test_an_apply_whose_container_restarts_is_missed_when_the_agent_is_back() -> None:
    bench = ssm_bench(ApplyKilled(Moment.DURING_PREPARE, container_restarts=True))
    bench.run("apiclient update check", wait=10)
    command_id = bench.send("apply")
    bench.pass_time(100)
    assert bench.end(command_id)[0] == "InProgress"
    bench.pass_time(20)
    assert bench.end(command_id) == ("Failed", "Failed", -1)
    assert bench.hosts[0].boots == 1
