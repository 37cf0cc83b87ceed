"""What a host finds in the repository, with waves, maximum versions, locks and retractions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.waves import default_waves

from bottlerocket_ecs_updater.simulator.repository import (
    WAVE_SEEDS,
    Offer,
    Release,
    Repository,
    Viewer,
    parse_version,
    update_ready,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VARIANT = "aws-ecs-2"


def shelf(*versions: str) -> Repository:
    return Repository(Release(version, VARIANT) for version in versions)


def viewer(running: str, lock: str = "latest", seed: int = 0, *, ignore_waves: bool = False) -> Viewer:
    return Viewer(VARIANT, "x86_64", running, seed, ignore_waves, lock)


def test_everything_listed_is_available_newest_first_the_running_version_and_older_ones_included() -> None:
    offer = shelf("1.9.0", "1.10.0", "1.20.0").offer(viewer("1.10.0"), NOW)
    assert offer == Offer(("1.20.0", "1.10.0", "1.9.0"), "1.20.0")


def test_a_host_on_the_newest_version_is_offered_nothing() -> None:
    assert shelf("1.19.0", "1.20.0").offer(viewer("1.20.0"), NOW).chosen is None


def test_a_variant_without_versions_has_nothing_available() -> None:
    other = Viewer("aws-ecs-1", "x86_64", "1.20.0")
    assert shelf("1.20.0", "1.21.0").offer(other, NOW) == Offer()


def test_another_architecture_sees_nothing_of_this_one() -> None:
    assert shelf("1.21.0").offer(Viewer(VARIANT, "aarch64", "1.20.0"), NOW) == Offer()


def test_a_retracted_version_is_offered_back_to_the_one_before() -> None:
    repository = shelf("1.20.0", "1.21.0")
    repository.retract("1.21.0")
    assert repository.offer(viewer("1.21.0"), NOW) == Offer(("1.20.0",), "1.20.0")


def test_a_lowered_maximum_version_hides_versions_and_offers_a_downgrade() -> None:
    repository = shelf("1.19.0", "1.20.0", "1.21.0")
    repository.set_max_version("1.20.0", VARIANT)
    assert repository.offer(viewer("1.21.0"), NOW) == Offer(("1.20.0", "1.19.0"), "1.20.0")


def test_a_version_published_after_a_retraction_raises_the_maximum_version_again() -> None:
    repository = shelf("1.20.0", "1.21.0")
    repository.retract("1.21.0")
    repository.publish(Release("1.21.1", VARIANT))
    assert repository.offer(viewer("1.20.0"), NOW).chosen == "1.21.1"


def test_retracting_the_last_version_leaves_nothing() -> None:
    repository = shelf("1.21.0")
    repository.retract("1.21.0")
    assert repository.offer(viewer("1.21.0"), NOW) == Offer()


@pytest.mark.parametrize(
    ("lock", "chosen"),
    [("latest", "1.21.0"), ("1.19.0", "1.19.0"), ("v1.19.0", "1.19.0"), ("1.20.0", None), ("9.9.9", None)],
)
def test_a_version_lock_is_that_very_version_or_nothing(lock: str, chosen: str | None) -> None:
    assert shelf("1.19.0", "1.20.0", "1.21.0").offer(viewer("1.20.0", lock), NOW).chosen == chosen


WAVES = ((20, NOW + HOUR), (100, NOW + 2 * HOUR), (1024, NOW + 5 * HOUR))


@pytest.mark.parametrize(
    ("seed", "at", "ready"),
    [
        pytest.param(0, -10 * HOUR, True, id="the first seed sees it even before the first wave begins"),
        pytest.param(20, -10 * HOUR, True, id="a seed on the first wave is before it too"),
        pytest.param(21, timedelta(), False, id="between waves: not before the first has begun"),
        pytest.param(100, 2 * HOUR, True, id="between waves: once the second has begun"),
        pytest.param(21, HOUR + timedelta(minutes=15), False, id="in a wave: not before its share of it"),
        pytest.param(21, HOUR + timedelta(minutes=15, seconds=45), True, id="in a wave: from 21 of 80 parts on"),
        pytest.param(2000, 5 * HOUR - timedelta(seconds=1), False, id="after the last wave: not before it begins"),
        pytest.param(2000, 5 * HOUR, True, id="after the last wave: from its beginning"),
    ],
)
def test_a_wave_reaches_a_seed_at_the_time_of_the_source(seed: int, at: timedelta, ready: bool) -> None:
    assert update_ready(WAVES, seed, NOW + at) is ready


def test_a_seed_counts_from_zero_and_not_from_its_waves_start() -> None:
    # The span from seed 100 to 1024 takes 3 h; seed 101 would be reached after 12 s if the distance counted,
    # and is reached after 101 parts of 924 because the seed itself does.
    reached = NOW + 2 * HOUR + (3 * HOUR // 924) * 101
    assert (update_ready(WAVES, 101, reached - timedelta(seconds=1)), update_ready(WAVES, 101, reached)) == (
        False,
        True,
    )


def test_a_version_without_waves_is_there_for_all() -> None:
    assert update_ready((), 2047, NOW)


def test_a_wave_not_reached_hides_the_version_altogether() -> None:
    repository = shelf("1.20.0")
    repository.publish(Release("1.21.0", VARIANT, waves=default_waves(NOW)))
    assert repository.offer(viewer("1.20.0", seed=2047), NOW + DAY) == Offer(("1.20.0",), None)


def test_ignore_waves_shows_the_version_at_once() -> None:
    repository = shelf("1.20.0")
    repository.publish(Release("1.21.0", VARIANT, waves=default_waves(NOW)))
    assert repository.offer(viewer("1.20.0", seed=2047, ignore_waves=True), NOW).chosen == "1.21.0"


def test_the_default_waves_have_reached_everybody_after_six_days() -> None:
    waves = default_waves(NOW)
    assert all(update_ready(waves, seed, NOW + 6 * DAY) for seed in range(0, WAVE_SEEDS, 7))


VERSIONS = st.sampled_from([f"1.{minor}.{patch}" for minor in range(6) for patch in range(3)])
SEEDS = st.integers(0, WAVE_SEEDS - 1)


@given(st.lists(VERSIONS, unique=True), VERSIONS, st.one_of(st.just("latest"), VERSIONS), VERSIONS, SEEDS)
def test_the_chosen_version_is_listed_and_never_the_running_one(
    versions: list[str], running: str, lock: str, ceiling: str, seed: int
) -> None:
    repository = shelf(*versions)
    repository.set_max_version(ceiling, VARIANT)
    offer = repository.offer(viewer(running, lock, seed), NOW)
    assert offer.chosen is None or (offer.chosen in offer.available and offer.chosen != running)


@given(st.lists(VERSIONS, unique=True), VERSIONS, VERSIONS)
def test_without_a_lock_a_lower_version_is_chosen_only_above_the_maximum_version(
    versions: list[str], running: str, ceiling: str
) -> None:
    repository = shelf(*versions)
    repository.set_max_version(ceiling, VARIANT)
    chosen = repository.offer(viewer(running), NOW).chosen
    if chosen is not None and parse_version(chosen) < parse_version(running):
        assert parse_version(running) > parse_version(ceiling)


@given(SEEDS, st.integers(0, 24 * 7), st.integers(0, 24 * 7))
def test_a_version_that_a_wave_has_reached_stays_visible(seed: int, hour: int, later: int) -> None:
    waves = default_waves(NOW)
    if update_ready(waves, seed, NOW + hour * HOUR):
        assert update_ready(waves, seed, NOW + (hour + later) * HOUR)
