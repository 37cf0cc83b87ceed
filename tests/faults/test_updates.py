"""Faults of an update on its host (F1 to F15, F26, F30, F34 to F37): the result, and what it costs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.faults.town import NEXT, OLDER, USUAL_MINUTES, Town, befall

from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, VARIANT

HALF_AN_HOUR = timedelta(minutes=30)
CHECKS_MAX = 3


def was_disturbed(town: Town) -> bool:
    """Whether the host left service or was booted."""
    return town.minutes_out > 0 or town.boots > 0


def was_updated_at_the_usual_cost(town: Town) -> bool:
    """In the first run, with one boot, like the other hosts."""
    as_usual = (town.fates, town.exits, town.boots) == (["updated", "up-to-date"], [0, 0], 1)
    return as_usual and town.minutes_out < USUAL_MINUTES and town.updated_the_others()


def check_held_undisturbed(town: Town, reason: str, words: str = "") -> None:
    assert town.fates == [reason, reason]
    assert town.exits == [0, 0]
    assert words in town.words()
    assert not was_disturbed(town)
    assert town.sent("apply") == town.sent("reboot") == 0
    assert town.sent("check") <= CHECKS_MAX
    assert town.updated_the_others()


def check_held_and_updated_when_it_passed(town: Town, reason: str) -> None:
    assert town.fates == [reason, "updated", "up-to-date"]
    assert town.exits == [0, 0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.minutes_out < USUAL_MINUTES
    assert town.updated_the_others()


def check_failed_undisturbed(town: Town, words: str) -> None:
    """An hour later it is tried again, because its backoff is over, with the same result."""
    assert set(town.fates[:2]) == {"apply-failed"}
    assert town.exits[:2] == [3, 3]
    assert words in town.words()
    assert not was_disturbed(town)
    assert town.sent("reboot") == 0
    assert town.updated_the_others()


def check_failed_and_updated_an_hour_later(town: Town) -> None:
    assert town.fates == ["apply-failed", "updated", "up-to-date"]
    assert town.exits == [3, 0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.minutes_out < USUAL_MINUTES
    assert town.updated_the_others()


# The repository


def test_f01_a_host_whose_repository_refuses_connections_is_held_and_not_disturbed() -> None:
    check_held_undisturbed(befall(f.RepositoryDown()), "check-failed", "Failed to check for updates")


def test_f01_a_host_whose_repository_was_down_is_updated_an_hour_later() -> None:
    check_held_and_updated_when_it_passed(befall(f.RepositoryDown(lasts=HALF_AN_HOUR)), "check-failed")


def test_f02_a_host_whose_repository_is_a_black_hole_is_held_and_not_disturbed() -> None:
    check_held_undisturbed(befall(f.RepositoryBlackHole()), "check-failed", "Timed out")


def test_f02_a_host_whose_repository_answers_again_is_updated_an_hour_later() -> None:
    check_held_and_updated_when_it_passed(befall(f.RepositoryBlackHole(lasts=HALF_AN_HOUR)), "check-failed")


def test_f03_a_host_with_a_wrong_repository_url_is_held_and_not_disturbed() -> None:
    check_held_undisturbed(befall(f.RepositoryNotFound()), "check-failed", "file not found")


@pytest.mark.parametrize(
    ("fault", "words"),
    [(f.MetadataExpired(), "is expired"), (f.MetadataExpired(clock_stepped_back=True), "stepped backward")],
)
def test_f04_a_host_with_expired_metadata_or_a_wrong_clock_is_held_and_not_disturbed(
    fault: f.MetadataExpired, words: str
) -> None:
    check_held_undisturbed(befall(fault), "check-failed", words)


def test_f05_a_host_whose_metadata_goes_back_is_held_and_not_disturbed() -> None:
    check_held_undisturbed(befall(f.MetadataRegressed()), "check-failed", "previously fetched")


# Download and disk


def test_f06_a_host_whose_image_has_a_wrong_hash_fails_without_leaving_service() -> None:
    check_failed_undisturbed(befall(f.HashMismatch()), "Hash mismatch")


def test_f06_a_host_whose_image_was_mangled_once_is_updated_an_hour_later() -> None:
    check_failed_and_updated_an_hour_later(befall(f.HashMismatch(times=1)))


def test_f07_a_host_whose_download_outlasts_its_client_is_updated_in_the_same_run() -> None:
    town = befall(f.SlowDownload())
    assert was_updated_at_the_usual_cost(town)
    assert town.sent("apply") == 2
    assert town.took() < timedelta(minutes=20)


def test_f07_a_host_whose_download_never_ends_in_time_fails_without_leaving_service() -> None:
    town = befall(f.SlowDownload(timedelta(minutes=40), times=None))
    check_failed_undisturbed(town, "423 Locked")
    assert town.took() < timedelta(minutes=30)


def test_f08_a_host_with_a_full_data_volume_fails_without_leaving_service() -> None:
    check_failed_undisturbed(befall(f.DataVolumeFull()), "No space left on device")


@pytest.mark.parametrize("error", f.ActivateError)
def test_f09_a_host_whose_partition_table_resists_fails_after_two_tries_without_leaving_service(
    error: f.ActivateError,
) -> None:
    town = befall(f.ActivateFails(error=error))
    check_failed_undisturbed(town, "partition")
    assert town.sent("apply") == 2


def test_f09_a_host_whose_partition_table_resisted_once_is_updated_in_the_same_run() -> None:
    assert was_updated_at_the_usual_cost(befall(f.ActivateFails(times=1)))


def test_f10_a_host_with_one_bank_fails_without_leaving_service() -> None:
    check_failed_undisturbed(befall(f.SingleBank()), "inactive partition set")


def test_f11_a_host_whose_lock_is_stuck_is_held_once_an_apply_would_have_ended() -> None:
    town = befall(f.LockBusy())
    assert town.fates == ["update-lock-held", "update-lock-held"]
    assert town.exits == [0, 0]
    assert not was_disturbed(town)
    assert town.took() < timedelta(minutes=20)
    assert town.updated_the_others()


def test_f11_a_host_whose_lock_is_freed_within_minutes_is_updated_in_the_same_run() -> None:
    assert was_updated_at_the_usual_cost(befall(f.LockBusy(lasts=timedelta(minutes=5))))


# Other actors on the host

MOMENTS = [f.Moment.AFTER_CHECK, f.Moment.DURING_PREPARE, f.Moment.AFTER_PREPARE, f.Moment.WHILE_READY]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("deed", [f.Deed.CHECK, f.Deed.APPLY, f.Deed.CANCEL])
def test_f12_an_operators_action_during_an_apply_takes_at_most_another_apply(deed: f.Deed, moment: f.Moment) -> None:
    town = befall(f.OutOfBand(deed, moment=moment))
    assert was_updated_at_the_usual_cost(town)
    assert town.sent("apply") <= 2


@pytest.mark.parametrize("moment", [f.Moment.AFTER_CHECK, f.Moment.BEFORE_PREPARE, f.Moment.DURING_PREPARE])
def test_f12_a_host_that_an_operator_reboots_before_it_is_staged_is_staged_after_that_boot(moment: f.Moment) -> None:
    town = befall(f.OutOfBand(f.Deed.REBOOT, moment=moment))
    assert town.fates == ["updated", "up-to-date"]
    assert town.exits == [0, 0]
    assert (town.boots, town.version) == (2, NEW)
    assert town.minutes_out < USUAL_MINUTES
    assert town.took() < timedelta(minutes=14)
    assert town.updated_the_others()


@pytest.mark.parametrize("moment", [f.Moment.AFTER_PREPARE, f.Moment.BEFORE_ACTIVATE, f.Moment.WHILE_READY])
def test_f12_a_host_that_an_operator_reboots_into_what_was_staged_is_up_to_date(moment: f.Moment) -> None:
    town = befall(f.OutOfBand(f.Deed.REBOOT, moment=moment))
    assert town.fates == ["up-to-date", "up-to-date"]
    assert town.exits == [0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.updated_the_others()


def test_f12_an_update_that_an_operator_cancels_while_the_host_drains_is_returned_to_service_unrebooted() -> None:
    """The host is checked again when it is empty: the update that was staged before its drain may be gone."""
    town = befall(f.OutOfBand(f.Deed.CANCEL, at=timedelta(seconds=85)))
    assert town.fates == ["changed-while-draining", "updated", "up-to-date"]
    assert town.exits == [0, 0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.minutes_out < USUAL_MINUTES
    assert town.updated_the_others()


@pytest.mark.parametrize("moment", [f.Moment.AFTER_CHECK, f.Moment.BEFORE_PREPARE])
def test_f12_a_host_that_an_operator_locks_before_it_is_staged_stays_on_its_release(moment: f.Moment) -> None:
    town = befall(f.OutOfBand(f.Deed.LOCK_VERSION, moment=moment, version=OLD))
    assert town.version == OLD
    assert not was_disturbed(town)
    assert town.updated_the_others()


@pytest.mark.parametrize("moment", [f.Moment.AFTER_CHECK, f.Moment.BEFORE_PREPARE])
def test_f13_hosts_that_find_a_newer_version_than_was_chosen_run_it_and_say_so(moment: f.Moment) -> None:
    town = befall(f.ReleaseAppears(NEXT, moment))
    assert town.fates == ["wrong-version", "up-to-date"]
    assert town.exits == [3, 0]
    assert (town.boots, town.version) == (1, NEXT)
    assert town.of_the_others() == {"wrong-version"}


@pytest.mark.parametrize("moment", [f.Moment.DURING_PREPARE, f.Moment.WHILE_READY])
def test_f13_a_version_that_appears_too_late_for_this_run_is_taken_by_the_next(moment: f.Moment) -> None:
    town = befall(f.ReleaseAppears(NEXT, moment))
    assert town.fates == ["updated", "updated", "up-to-date"]
    assert town.exits == [0, 0, 0]
    assert (town.boots, town.version) == (2, NEXT)
    assert town.of_the_others() == town.of_the_others(run=1) == {"updated"}


@pytest.mark.parametrize("moment", [f.Moment.AFTER_CHECK, f.Moment.BEFORE_PREPARE])
def test_f13_a_version_that_is_withdrawn_before_it_is_written_does_no_harm(moment: f.Moment) -> None:
    town = befall(f.ReleaseRetracted(NEW, moment))
    assert set(town.exits) == {0}
    assert town.version == OLD
    assert not was_disturbed(town)
    assert not town.of_the_others() & {"updated", "apply-failed"}


def test_f13_a_release_that_is_withdrawn_once_it_is_staged_is_not_booted() -> None:
    town = befall(f.ReleaseRetracted(NEW, f.Moment.WHILE_READY))
    assert set(town.fates) == {"staged-withdrawn"}
    assert set(town.exits) == {0}
    assert (town.boots, town.version) == (0, OLD)


@pytest.mark.parametrize("leftover", f.Leftover)
def test_f14_a_host_with_a_half_finished_update_is_updated_with_the_usual_calls(leftover: f.Leftover) -> None:
    assert was_updated_at_the_usual_cost(befall(f.StartsWith(leftover, NEW)))


def test_f14_a_host_that_was_left_ready_needs_no_apply() -> None:
    assert befall(f.StartsWith(f.Leftover.READY, NEW)).sent("apply") == 0


@pytest.mark.parametrize("restarts", [False, True])
def test_f15_a_host_whose_apply_is_killed_before_it_started_fails_and_is_updated_an_hour_later(
    restarts: bool,
) -> None:
    town = befall(f.ApplyKilled(f.Moment.BEFORE_PREPARE, container_restarts=restarts))
    check_failed_and_updated_an_hour_later(town)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("moment", [f.Moment.DURING_PREPARE, f.Moment.AFTER_PREPARE, f.Moment.BEFORE_ACTIVATE])
def test_f15_a_host_whose_apply_is_killed_half_way_is_updated_in_the_same_run(
    moment: f.Moment,
    restarts: bool,
) -> None:
    assert was_updated_at_the_usual_cost(befall(f.ApplyKilled(moment, container_restarts=restarts)))


# Versions and output


def test_f26_a_host_that_comes_back_on_a_third_version_serves_and_is_called_neither_updated_nor_rolled_back() -> None:
    town = befall(f.ThirdVersion(NEXT), f.ReleaseAppears(NEXT, f.Moment.AFTER_PREPARE))
    assert town.fates == ["wrong-version", "up-to-date", "up-to-date"]
    assert town.exits == [3, 0, 0]
    assert (town.boots, town.version) == (1, NEXT)
    assert town.minutes_out < USUAL_MINUTES
    assert town.of_the_others() == town.of_the_others(run=1) == {"updated"}


@pytest.mark.parametrize(
    ("oddity", "reason"),
    [
        (f.Oddity.GARBAGE, "unreadable"),
        (f.Oddity.EMPTY, "unreadable"),
        (f.Oddity.TRUNCATED, "unreadable"),
        (f.Oddity.MISSING_FIELDS, "unreadable"),
        (f.Oddity.UNKNOWN_STATE, "unknown-state"),
        (f.Oddity.NO_BOOT_ID, "no-boot-id"),
    ],
)
def test_f30_a_host_whose_checks_cannot_be_read_is_held_and_not_disturbed(oddity: f.Oddity, reason: str) -> None:
    check_held_undisturbed(befall(f.OddOutput(oddity)), reason)


@pytest.mark.parametrize("oddity", [f.Oddity.STRUCT_ORDER, f.Oddity.COLOURED])
def test_f30_a_host_whose_checks_only_look_different_is_updated_with_the_usual_calls(oddity: f.Oddity) -> None:
    assert was_updated_at_the_usual_cost(befall(f.OddOutput(oddity)))


@pytest.mark.parametrize("oddity", [f.Oddity.GARBAGE, f.Oddity.UNKNOWN_STATE, f.Oddity.NO_BOOT_ID])
def test_f30_a_host_that_printed_nonsense_once_is_updated_in_the_same_run(oddity: f.Oddity) -> None:
    assert was_updated_at_the_usual_cost(befall(f.OddOutput(oddity, times=1)))


# Offers


def test_f34_a_host_in_the_last_wave_is_up_to_date_until_its_wave_comes() -> None:
    last_wave = VirtualClock().now() + timedelta(minutes=60)
    release = Release(NEW, VARIANT, waves=((2046, last_wave),))
    town = befall(f.WaveLate(), releases=(release, Release(OLD, VARIANT)))
    assert town.fates == ["up-to-date", "updated", "up-to-date"]
    assert town.exits == [0, 0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.updated_the_others()


def test_f35_a_host_of_an_ended_variant_is_held_with_that_reason_after_one_check() -> None:
    town = befall(f.VariantEnded())
    check_held_undisturbed(town, "end-of-life-variant", "no longer gets new versions")
    assert town.sent("check") == 1


def test_f36_a_host_that_is_locked_to_its_version_is_up_to_date() -> None:
    town = befall(f.VersionLocked(OLD))
    assert town.fates == ["up-to-date", "up-to-date"]
    assert town.exits == [0, 0]
    assert not was_disturbed(town)
    assert town.updated_the_others()


def test_f36_a_host_that_is_locked_to_the_new_version_is_updated() -> None:
    assert was_updated_at_the_usual_cost(befall(f.VersionLocked(NEW)))


def test_f37_a_host_whose_version_was_withdrawn_follows_its_repository_down_once() -> None:
    releases = tuple(Release(version, VARIANT) for version in (NEW, OLD, OLDER))
    town = befall(f.DowngradeOffered(OLDER), releases=releases)
    assert town.fates == ["updated", "up-to-date"]
    assert town.exits == [0, 0]
    assert (town.boots, town.version) == (1, OLDER)
    assert town.minutes_out < USUAL_MINUTES
    assert town.updated_the_others()
