"""Each fault of an update on its host, and its effect there."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.simulator.host_bench import MINUTE, NEW, OLD, RUNNING, SECOND, VARIANT, Bench, bench
from tests.support.waves import default_waves

from bottlerocket_ecs_updater.simulator.faults import (
    ActivateError,
    ActivateFails,
    ApplyKilled,
    DataVolumeFull,
    Deed,
    DowngradeOffered,
    HashMismatch,
    Leftover,
    LockBusy,
    MetadataExpired,
    MetadataRegressed,
    Moment,
    Oddity,
    OddOutput,
    OutOfBand,
    ReleaseAppears,
    ReleaseRetracted,
    RepositoryBlackHole,
    RepositoryDown,
    RepositoryNotFound,
    SingleBank,
    SlowDownload,
    StartsWith,
    ThirdVersion,
    VariantEnded,
    VersionLocked,
    WaveLate,
)
from bottlerocket_ecs_updater.simulator.host import Power
from bottlerocket_ecs_updater.simulator.repository import Release, Repository

URL = f"https://updates.bottlerocket.aws/2020-07-07/{VARIANT}/x86_64/"
CHECK_FAILED = "Failed to check for updates: refresh attempt failed with status 'Failed' (-1): "


def failed_check(host: Bench) -> str:
    """The reason of a check that fails, as the host prints it."""
    result = host.run("apiclient update check")
    assert (result.exit_code, result.stdout) == (1, "")
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(CHECK_FAILED)
    return line.removeprefix(CHECK_FAILED)


def failed_apply(host: Bench) -> str:
    """The last line of an apply that fails after a successful check."""
    host.check()
    result = host.run("apiclient update apply")
    assert result.exit_code == 1
    return result.stderr.strip().splitlines()[-1]


def test_f1_a_repository_that_refuses_connections_fails_the_check_in_a_second_with_its_url() -> None:
    host = bench(RepositoryDown())
    began = host.clock.now()
    url = f"{URL}2.root.json"
    assert failed_check(host) == (
        f"Metadata error: Failed to fetch {url}: Transport 'other' error fetching '{url}': "
        f"error sending request for url ({url})"
    )
    assert host.clock.now() - began < 2 * SECOND


def test_f1_a_repository_that_is_back_is_found_again() -> None:
    host = bench(RepositoryDown(lasts=MINUTE))
    failed_check(host)
    host.pass_time(MINUTE)
    assert host.check()["update_state"] == "Available"


def test_f1_a_repository_that_goes_away_between_check_and_apply_fails_the_apply() -> None:
    host = bench(RepositoryDown(at=SECOND / 5))
    assert "prepare attempt failed with status 'Failed' (-1): Metadata error: " in failed_apply(host)
    assert host.state() == "Available"


def test_f2_a_black_hole_outlasts_the_client_and_keeps_the_lock() -> None:
    host = bench(RepositoryBlackHole())
    began = host.clock.now()
    result = host.run("apiclient update check")
    assert result.stderr.strip().splitlines()[-1] == (
        "Failed to check for updates: Timed out after waiting 10s seconds after POST to "
        "/actions/refresh-updates, unsure of result"
    )
    assert host.clock.now() - began < 11 * SECOND
    assert "423 Locked" in host.run("apiclient update check").stderr
    host.pass_time(MINUTE)
    assert host.state() == "Idle"


def test_f3_a_wrong_url_is_not_found_at_the_timestamp() -> None:
    reason = failed_check(bench(RepositoryNotFound()))
    assert reason.startswith(f"Metadata error: Failed to fetch {URL}timestamp.json: Transport 'file not found' error")


def test_f4_expired_metadata_fail_the_check() -> None:
    assert failed_check(bench(MetadataExpired())) == "Metadata error: timestamp metadata is expired"


def test_f4_a_clock_that_went_backward_fails_the_check() -> None:
    reason = failed_check(bench(MetadataExpired(clock_stepped_back=True)))
    assert reason.startswith("Metadata error: System time stepped backward: system time '2026-01-05T09:00:00")


def test_f5_older_metadata_fail_the_check() -> None:
    assert failed_check(bench(MetadataRegressed())) == (
        "Metadata error: Found version 41 of timestamp metadata when we had previously fetched version 42"
    )


def test_f6_a_wrong_hash_fails_the_apply_and_destroys_the_way_back() -> None:
    host = bench(HashMismatch())
    reason = failed_apply(host)
    assert reason.startswith("Failed writing update data to disk: Hash mismatch for bottlerocket-aws-ecs-2")
    assert (host.state(), host.host.partitions.inactive.image) == ("Available", None)


def test_f6_a_wrong_hash_once_is_cured_by_another_try() -> None:
    host = bench(HashMismatch(times=1))
    failed_apply(host)
    assert host.run("apiclient update apply").exit_code == 0


def test_f7_a_slow_download_is_staged_in_the_background() -> None:
    host = bench(SlowDownload(takes=11 * MINUTE))
    assert "Timed out after waiting 600s seconds" in failed_apply(host)
    host.pass_time(2 * MINUTE)
    assert host.check()["update_state"] == "Staged"


def test_f8_a_full_data_volume_fails_the_apply_before_anything_is_destroyed() -> None:
    host = bench(StartsWith(Leftover.STAGED, NEW), DataVolumeFull())
    assert "No space left on device (os error 28)" in failed_apply(host)
    assert host.host.partitions.inactive.image == NEW


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ActivateError.OPEN_PARTITION, "Failed to open partition /dev/nvme0n1p7: "),
        (ActivateError.NOT_VALID, "Inactive partition /dev/nvme0n1 has not been marked valid for upgrade"),
    ],
)
def test_f9_a_broken_partition_table_leaves_the_host_staged(error: ActivateError, text: str) -> None:
    host = bench(ActivateFails(error=error))
    reason = failed_apply(host)
    assert reason.startswith("Failed to apply update: activate attempt failed with status 'Failed' (-1): ")
    assert text in reason
    assert host.state() == "Staged"


def test_f9_a_version_that_was_not_activated_is_not_booted() -> None:
    host = bench(ActivateFails())
    failed_apply(host)
    host.reboot()
    assert host.host.running == RUNNING


def test_f10_an_image_with_one_bank_cannot_be_updated() -> None:
    host = bench(SingleBank())
    assert failed_apply(host).endswith("Could not find inactive partition set")
    assert host.state() == "Available"


def test_f11_a_busy_lock_refuses_every_command_and_changes_nothing() -> None:
    host = bench(LockBusy(lasts=10 * MINUTE))
    for command in ("check", "apply", "cancel"):
        result = host.run(f"apiclient update {command}")
        assert (result.exit_code, "got code '423 Locked'" in result.stderr) == (1, True)
    host.pass_time(10 * MINUTE)
    assert host.check()["update_state"] == "Available"


def test_f12_an_operator_applies_an_update_at_a_time_of_his_own() -> None:
    host = bench(OutOfBand(Deed.CHECK, at=MINUTE), OutOfBand(Deed.APPLY, at=2 * MINUTE))
    host.pass_time(3 * MINUTE)
    assert host.state() == "Ready"


def test_f12_an_operator_cancels_what_has_just_become_ready() -> None:
    host = bench(OutOfBand(Deed.CANCEL, moment=Moment.WHILE_READY))
    host.check()
    host.run("apiclient update apply")
    host.pass_time(MINUTE)
    assert host.state() == "Staged"


def test_f12_an_operator_reboots_the_host_while_it_prepares() -> None:
    host = bench(OutOfBand(Deed.REBOOT, moment=Moment.DURING_PREPARE))
    host.check()
    assert host.run("apiclient update apply").exit_code == 143
    host.pass_time(2 * MINUTE)
    assert (host.host.running, host.host.boots, host.host.power) == (RUNNING, 2, Power.RUNNING)


def test_f12_an_operator_locks_the_version_between_check_and_apply() -> None:
    host = bench(OutOfBand(Deed.LOCK_VERSION, moment=Moment.AFTER_CHECK, version=OLD))
    host.check()
    host.run("apiclient update apply")
    assert host.host.partitions.inactive.image == OLD


def test_f13_a_version_that_appears_between_check_and_apply_is_written() -> None:
    host = bench(ReleaseAppears("1.22.0"))
    host.make("Ready")
    host.reboot()
    assert host.host.running == "1.22.0"


def test_f13_a_version_that_is_retracted_between_check_and_apply_is_not_written() -> None:
    host = bench(ReleaseRetracted(NEW))
    assert "has not been marked valid for upgrade" in failed_apply(host)
    assert host.host.partitions.inactive.image is None


def test_f13_a_version_retracted_while_ready_leaves_the_host_ready_with_nothing_chosen() -> None:
    host = bench(ReleaseRetracted(NEW, Moment.WHILE_READY))
    host.make("Ready")
    status = host.check()
    assert (status["update_state"], status["chosen_update"]) == ("Ready", None)


def test_f13_a_version_appears_at_its_time() -> None:
    host = bench(ReleaseAppears("1.22.0", Moment.AT, at=MINUTE))
    assert host.check()["chosen_update"]["version"] == NEW
    host.pass_time(MINUTE)
    assert host.check()["chosen_update"]["version"] == "1.22.0"


@pytest.mark.parametrize(
    ("leftover", "state", "boots_into"),
    [
        (Leftover.READY, "Ready", NEW),
        (Leftover.STAGED, "Staged", RUNNING),
        (Leftover.STAGED_NOTHING_CHOSEN, "Staged", RUNNING),
        (Leftover.STAGED_INVALID, "Staged", RUNNING),
    ],
)
def test_f14_a_host_starts_with_the_leftovers_of_an_earlier_update(
    leftover: Leftover, state: str, boots_into: str
) -> None:
    host = bench(StartsWith(leftover, NEW))
    assert host.state() == state
    assert host.check()["update_state"] == state
    host.reboot()
    assert host.host.running == boots_into


def test_f14_a_host_that_is_staged_with_nothing_chosen_shows_null_when_nothing_is_listed() -> None:
    host = bench(StartsWith(Leftover.STAGED_NOTHING_CHOSEN, NEW), releases=(RUNNING,))
    assert host.check()["chosen_update"] is None


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        (Moment.BEFORE_PREPARE, "Available"),
        (Moment.DURING_PREPARE, "Staged"),
        (Moment.AFTER_PREPARE, "Staged"),
        (Moment.BEFORE_ACTIVATE, "Staged"),
    ],
)
def test_f15_after_a_killed_apply_the_host_continues_by_itself(moment: Moment, state: str) -> None:
    host = bench(ApplyKilled(moment))
    host.check()
    assert host.run("apiclient update apply").exit_code == 137
    host.pass_time(MINUTE)
    assert host.state() == state


def test_f15_a_restart_of_the_control_container_takes_the_agent_away_for_a_while() -> None:
    host = bench(ApplyKilled(Moment.DURING_PREPARE, container_restarts=True))
    host.check()
    host.run("apiclient update apply")
    assert not host.host.ssm_agent_up
    host.pass_time(46 * SECOND)
    assert host.host.ssm_agent_up


def test_f26_another_version_is_written_and_booted_than_was_chosen() -> None:
    host = bench(ThirdVersion("1.21.1"))
    host.make("Ready")
    assert host.check()["staging_partition"]["image"]["version"] == NEW
    host.reboot()
    assert host.host.running == "1.21.1"


@pytest.mark.parametrize("oddity", [Oddity.GARBAGE, Oddity.EMPTY, Oddity.TRUNCATED])
def test_f30_a_mutilated_check_is_no_json_and_succeeds(oddity: Oddity) -> None:
    result = bench(OddOutput(oddity)).run("apiclient update check")
    assert result.exit_code == 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.stdout)


def test_f30_a_truncated_check_has_lost_the_update_state() -> None:
    assert "update_state" not in bench(OddOutput(Oddity.TRUNCATED)).run("apiclient update check").stdout


def test_f30_fields_may_be_missing() -> None:
    assert set(bench(OddOutput(Oddity.MISSING_FIELDS)).check()) == {"available_updates", "update_state"}


def test_f30_an_update_state_may_be_unknown() -> None:
    assert bench(OddOutput(Oddity.UNKNOWN_STATE)).check()["update_state"] == "Reticulating"


def test_f30_keys_may_come_in_another_order() -> None:
    assert next(iter(bench(OddOutput(Oddity.STRUCT_ORDER)).check())) == "update_state"


def test_f30_log_lines_may_be_coloured() -> None:
    assert "\x1b[34m[INFO]" in bench(OddOutput(Oddity.COLOURED)).run("apiclient update check").stderr


def test_f30_the_boot_id_may_be_missing() -> None:
    host = bench(OddOutput(Oddity.NO_BOOT_ID, times=1))
    result = host.run("cat /proc/sys/kernel/random/boot_id", "apiclient update check")
    assert (result.exit_code, result.stdout[0]) == (0, "{")


def test_f30_an_oddity_that_happens_once_is_gone_at_the_next_check() -> None:
    host = bench(OddOutput(Oddity.EMPTY, times=1))
    host.run("apiclient update check")
    assert host.check()["update_state"] == "Available"


def test_f34_hosts_of_one_cluster_see_a_version_days_apart() -> None:
    probe = bench()
    release = Release(NEW, VARIANT, waves=default_waves(probe.clock.now()))
    repository = Repository([Release(RUNNING, VARIANT), release])
    assert bench(repository=repository, seed=1).check()["update_state"] == "Available"
    late = bench(WaveLate(), repository=repository)
    status = late.check()
    assert (status["update_state"], status["available_updates"]) == ("Idle", [RUNNING])
    late.pass_time(timedelta(days=6))
    assert late.check()["update_state"] == "Available"


def test_f35_a_variant_at_its_end_stays_idle_forever() -> None:
    host = bench(VariantEnded())
    assert host.host.variant == "aws-ecs-1"
    host.pass_time(timedelta(days=365))
    assert host.check()["update_state"] == "Idle"


@pytest.mark.parametrize(("lock", "chosen"), [(OLD, OLD), ("v1.21.0", NEW)])
def test_f36_a_locked_host_is_offered_its_version(lock: str, chosen: str) -> None:
    assert bench(VersionLocked(lock)).check()["chosen_update"]["version"] == chosen


def test_f36_a_host_locked_to_its_running_version_is_idle() -> None:
    status = bench(VersionLocked(RUNNING)).check()
    assert (status["update_state"], status["available_updates"][0]) == ("Idle", NEW)


def test_f37_a_host_above_the_maximum_version_is_offered_a_downgrade() -> None:
    status = bench(DowngradeOffered(OLD)).check()
    assert status["chosen_update"]["version"] == OLD
    assert status["available_updates"] == [OLD]
    assert status["update_state"] == "Available"


def test_f37_a_downgrade_is_offered_from_its_time_on() -> None:
    host = bench(DowngradeOffered(RUNNING, at=MINUTE), version=NEW)
    assert host.check()["update_state"] == "Idle"
    host.pass_time(MINUTE)
    assert host.check()["chosen_update"]["version"] == RUNNING
