"""apiclient's texts, exit codes and limits, and what continues after it has ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.host_bench import HOUR, MINUTE, SECOND, Bench, bench

from bottlerocket_ecs_updater.simulator.faults import (
    ApplyKilled,
    Deed,
    Leftover,
    LockBusy,
    Moment,
    OutOfBand,
    RebootRefused,
    SlowDownload,
    StartsWith,
)
from bottlerocket_ecs_updater.simulator.host.status import UpdateCommand

PREPARE_FAILED = (
    "Failed to apply update: Failed to prepare update.  This could mean that we don't have a list of updates yet or "
    "that an update is already applied.  Running 'apiclient update check' will help you find out.  You can cancel an "
    "applied ('Ready') update with 'apiclient update cancel' if desired.  Detail: "
)
NOT_ALLOWED = "Update action not allowed according to update state"


def last_line(host: Bench, *lines: str) -> tuple[int, str]:
    result = host.run(*lines)
    return result.exit_code, result.stderr.rstrip("\n").splitlines()[-1]


def test_an_apply_prints_its_stages_and_nothing_on_standard_output() -> None:
    host = bench()
    host.check()
    result = host.run("apiclient update apply")
    assert (result.exit_code, result.stdout) == (0, "")
    assert [line[9:] for line in result.stderr.splitlines()] == [
        "[INFO] Downloading and applying update to disk...",
        "[INFO] Still waiting for updated status, will wait up to 594.5s longer...",
        "[INFO] Setting the update active so it will apply on the next reboot...",
        "[INFO] Update has been applied and will take effect on next reboot.",
    ]


@pytest.mark.parametrize("state", ["none", "Idle", "Ready"])
def test_an_apply_where_there_is_nothing_to_apply_is_refused_with_409(state: str) -> None:
    host = bench()
    host.make(state)
    refusal = f"Failed to make prepare request: Status 409 when POSTing /actions/prepare-update: {NOT_ALLOWED}"
    assert last_line(host, "apiclient update apply") == (1, PREPARE_FAILED + refusal)


def test_an_apply_on_a_very_old_version_names_the_socket_in_its_refusal() -> None:
    code, line = last_line(bench(version="1.0.8"), "apiclient update apply")
    assert code == 1
    assert "when POSTing unix://2f72756e2f6170692e736f636b:0/actions/prepare-update: " in line


def test_an_apply_on_a_staged_host_writes_it_again_and_makes_it_ready() -> None:
    host = bench(StartsWith(Leftover.STAGED_INVALID, "1.21.0"))
    assert host.run("apiclient update apply").exit_code == 0
    assert (host.state(), host.host.partitions.inactive.image) == ("Ready", "1.21.0")


def test_an_apply_whose_update_is_gone_is_refused_with_404() -> None:
    host = bench(StartsWith(Leftover.STAGED_NOTHING_CHOSEN, "1.21.0"))
    code, line = last_line(host, "apiclient update apply")
    assert (code, line.rpartition(": ")[2]) == (1, "Previously chosen Update no longer exists")
    assert "Status 404 when POSTing /actions/prepare-update" in line


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("Idle", "No updates available."),
        ("Ready", "Update already applied; reboot for it to take effect, or request a cancel."),
    ],
)
def test_apply_with_check_does_nothing_and_succeeds_where_nothing_is_to_be_done(state: str, says: str) -> None:
    host = bench()
    host.make(state)
    code, line = last_line(host, "apiclient update apply --check")
    assert (code, line[9:], host.state()) == (0, f"[INFO] {says}", state)


@pytest.mark.parametrize("state", ["none", "Available", "Staged"])
def test_apply_with_check_prints_the_status_and_applies_where_an_update_is_there(state: str) -> None:
    host = bench()
    host.make(state)
    result = host.run("apiclient update apply -c")
    assert (result.exit_code, result.stdout.startswith("{\n"), host.state()) == (0, True, "Ready")


def test_apply_with_reboot_reboots_after_it_was_applied() -> None:
    host = bench()
    code, line = last_line(host, "apiclient update apply --check --reboot")
    assert (code, line[9:]) == (0, "[INFO] Rebooting, goodbye...")
    host.pass_time(2 * MINUTE)
    assert host.host.running == "1.21.0"


def test_a_cancel_prints_no_status_and_leads_back_to_staged() -> None:
    host = bench()
    host.make("Ready")
    result = host.run("apiclient update cancel")
    assert (result.exit_code, result.stdout, host.state()) == (0, "", "Staged")
    assert result.stderr.endswith("[INFO] Canceling update...\n")


@pytest.mark.parametrize("state", ["none", "Idle", "Available", "Staged"])
def test_a_cancel_where_nothing_is_ready_is_refused(state: str) -> None:
    host = bench()
    host.make(state)
    assert last_line(host, "apiclient update cancel") == (
        1,
        "Failed to cancel update: Failed to make deactivate request: "
        f"Status 409 when POSTing /actions/deactivate-update: {NOT_ALLOWED}",
    )


def test_a_check_while_an_apply_runs_fails_at_once_with_423_and_changes_nothing() -> None:
    host = bench()
    host.check()
    applied, _ = host.start("apiclient update apply")
    host.pass_time(3 * SECOND)
    began = host.clock.now()
    result = host.run("apiclient update check")
    assert result.stderr.splitlines()[-1] == (
        "Failed to check for updates: Unable to check initial update status, got code '423 Locked': Unable to obtain "
        "shared lock for reading update status: Resource temporarily unavailable (os error 11)"
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert host.clock.now() - began < SECOND
    host.pass_time(MINUTE)
    assert (applied[0].exit_code, host.state()) == (0, "Ready")


def test_a_command_that_loses_the_race_for_the_lock_says_so() -> None:
    # Somebody takes the lock between the status read and the request.
    host = bench()
    results, _ = host.start("apiclient update check")
    host.pass_time(timedelta(milliseconds=2))
    host.host.request(UpdateCommand.REFRESH)
    host.until(lambda: bool(results))
    assert results[0].stderr.splitlines()[-1] == (
        "Failed to check for updates: Failed to make refresh request: "
        "Status 423 when POSTing /actions/refresh-updates: Update lock held"
    )


def test_a_slow_prepare_outlives_its_client_and_ends_staged() -> None:
    host = bench(SlowDownload(takes=15 * MINUTE))
    host.check()
    began = host.clock.now()
    result = host.run("apiclient update apply")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        PREPARE_FAILED + "Timed out after waiting 600s seconds after POST to /actions/prepare-update, unsure of result",
    )
    assert timedelta(seconds=595) < host.clock.now() - began < timedelta(seconds=605)
    assert host.state() == "Available"
    host.pass_time(10 * MINUTE)
    assert host.state() == "Staged"


def test_a_client_that_waits_ten_minutes_says_so_a_hundred_and_nineteen_times() -> None:
    host = bench(SlowDownload(takes=15 * MINUTE))
    host.check()
    assert host.run("apiclient update apply").stderr.count("Still waiting for updated status") == 119


def test_a_check_in_the_gap_after_prepare_makes_the_apply_wait_for_nothing_with_the_image_staged() -> None:
    host = bench(OutOfBand(Deed.CHECK, moment=Moment.AFTER_PREPARE))
    host.check()
    began = host.clock.now()
    result = host.run("apiclient update apply")
    assert "Timed out after waiting 600s seconds" in result.stderr
    assert host.clock.now() - began > timedelta(seconds=595)
    assert host.state() == "Staged"


def test_a_check_in_the_gap_before_activate_fails_the_apply_and_leaves_it_staged() -> None:
    host = bench(OutOfBand(Deed.CHECK, moment=Moment.BEFORE_ACTIVATE))
    host.check()
    assert last_line(host, "apiclient update apply") == (
        1,
        "Failed to apply update: Failed to make activate request: "
        "Status 423 when POSTing /actions/activate-update: Update lock held",
    )
    host.pass_time(MINUTE)
    assert host.state() == "Staged"


def test_a_killed_apply_leaves_its_prepare_running() -> None:
    host = bench()
    host.check()
    results, script = host.start("apiclient update apply")
    host.pass_time(3 * SECOND)
    script.kill()
    assert (results[0].exit_code, host.host.request(UpdateCommand.REFRESH).code) == (137, 423)
    host.pass_time(MINUTE)
    assert host.state() == "Staged"


def test_an_apply_past_the_scripts_time_is_killed_with_what_it_had_printed() -> None:
    host = bench(SlowDownload(takes=5 * MINUTE))
    host.check()
    result = host.run("apiclient update apply", timeout=MINUTE)
    assert (result.exit_code, result.timed_out) == (137, True)
    assert result.stderr.count("Still waiting") == 11


def test_a_reboot_succeeds_before_the_host_goes_down() -> None:
    result = bench().run("apiclient reboot")
    assert (result.exit_code, result.stdout, result.stderr[9:]) == (0, "", "[INFO] Rebooting, goodbye...\n")


def test_a_refused_reboot_is_a_500_with_the_reason() -> None:
    code, line = last_line(bench(RebootRefused()), "apiclient reboot")
    assert code == 1
    assert line.startswith(
        "Failed to reboot: Failed POST request to '/actions/reboot': Status 500 when POSTing /actions/reboot: "
        "Failed to reboot, exit code: 1, stderr: "
    )


def test_a_lock_that_is_held_by_something_stuck_is_free_after_a_reboot() -> None:
    host = bench(LockBusy(at=MINUTE))
    host.pass_time(HOUR)
    assert host.run("apiclient update check").exit_code == 1
    host.reboot()
    assert host.run("apiclient update check").exit_code == 0


@pytest.mark.parametrize(
    "arguments", ["", "frobnicate", "update", "update frobnicate", "update apply --now", "reboot now"]
)
def test_arguments_that_apiclient_does_not_know_are_a_usage_error(arguments: str) -> None:
    result = bench().run(f"apiclient {arguments}")
    assert (result.exit_code, "Usage: apiclient" in result.stderr) == (2, True)


def test_get_os_shows_the_version_on_hosts_that_know_get() -> None:
    assert '"version_id": "1.20.0"' in bench().run("apiclient get os").stdout
    assert bench(version="1.4.2").run("apiclient get os").exit_code == 2


def test_a_version_lock_and_waves_are_set_together_and_outlive_a_reboot() -> None:
    host = bench()
    assert host.run('apiclient set updates.version-lock="1.19.0" updates.ignore-waves=true').exit_code == 0
    host.reboot()
    got = host.run("apiclient get settings.updates").stdout
    assert '"version-lock": "1.19.0"' in got
    assert '"ignore-waves": true' in got
    assert host.check()["chosen_update"]["version"] == "1.19.0"


def test_a_setting_can_be_read_from_json_too() -> None:
    host = bench()
    host.run("""apiclient set -j '{"updates": {"version-lock": "v1.19.0"}}'""")
    assert host.host.version_lock == "1.19.0"


@pytest.mark.parametrize("pair", ["updates.version-lock=soon", "updates.seed=4096", "motd=hello", "updates.seed"])
def test_a_setting_that_is_not_valid_is_refused_and_nothing_changes(pair: str) -> None:
    host = bench()
    result = host.run(f"apiclient set updates.ignore-waves=true {pair}")
    assert result.exit_code == 1
    assert '"ignore-waves": false' in host.run("apiclient get settings.updates.ignore-waves").stdout


@pytest.mark.parametrize("moment", [Moment.BEFORE_PREPARE, Moment.DURING_PREPARE, Moment.AFTER_PREPARE])
def test_an_apply_killed_at_any_moment_says_137(moment: Moment) -> None:
    host = bench(ApplyKilled(moment))
    host.check()
    assert host.run("apiclient update apply").exit_code == 137
