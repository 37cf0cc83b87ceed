from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.rules import parse_checkpoints, parse_freezes, parse_windows

from bottlerocket_ecs_updater.core.model.history import RecordedDurations
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.time_text import DAY
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.forecast import Batch, ForecastLimits, Pending, RolloutRules, forecast
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint, Checkpoints, RolloutState
from bottlerocket_ecs_updater.core.rules.pace import STATED, Pace, needed, pace_from
from bottlerocket_ecs_updater.core.rules.windows import Open, Schedule, open_at

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)  # a Friday
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NEW = Version.parse("1.43.0")
PACE = Pace(stage=2 * MINUTE, drain=3 * MINUTE, reboot=2 * MINUTE, settle=MINUTE)
SATURDAYS = Schedule(parse_windows("Sat 02:00 1h UTC"))


def hosts(count: int, *, zones: int = 1, waits: timedelta = timedelta(), staged: bool = True) -> list[Pending]:
    return [
        Pending(InstanceId(f"i-{number:017x}"), Zone("abc"[number % zones]), NEW, waits, staged)
        for number in range(count)
    ]


def test_one_at_a_time_takes_as_many_batches_as_instances() -> None:
    answer = forecast(hosts(3), PACE, ForecastLimits(1), RolloutRules(), NOW)
    assert [batch.begins - NOW for batch in answer.batches] == [0 * MINUTE, 6 * MINUTE, 12 * MINUTE]
    assert answer.ends == NOW + 18 * MINUTE
    assert answer.windows == 1


def test_staging_comes_before_the_first_batch() -> None:
    answer = forecast(hosts(1, staged=False), PACE, ForecastLimits(1), RolloutRules(), NOW)
    assert answer.batches[0].begins == NOW + 2 * MINUTE


def test_nothing_to_do_ends_now() -> None:
    answer = forecast([], PACE, ForecastLimits(1), RolloutRules(), NOW)
    assert (answer.batches, answer.ends, answer.left) == ((), NOW, ())


def test_batches_are_as_large_as_the_budget_and_no_zone_gives_more_than_its_own() -> None:
    answer = forecast(
        hosts(6, zones=3), PACE, ForecastLimits(4, {Zone("a"): 1, Zone("b"): 1, Zone("c"): 1}), RolloutRules(), NOW
    )
    assert [len(batch.instances) for batch in answer.batches] == [3, 3]


def test_a_window_that_fits_ten_of_sixty_makes_six_windows() -> None:
    answer = forecast(hosts(60), PACE, ForecastLimits(1), RolloutRules(SATURDAYS), NOW)
    assert answer.windows == 6
    assert answer.batches[0].begins == datetime(2026, 5, 2, 2, tzinfo=UTC)
    assert answer.batches[10].begins == datetime(2026, 5, 9, 2, tzinfo=UTC)
    assert answer.ends == datetime(2026, 6, 6, 3, tzinfo=UTC)


def test_a_freeze_puts_the_rollout_off() -> None:
    frozen = Schedule(SATURDAYS.windows, parse_freezes("2026-05-02..2026-05-10 UTC"))
    answer = forecast(hosts(1), PACE, ForecastLimits(1), RolloutRules(frozen), NOW)
    assert answer.batches[0].begins == datetime(2026, 5, 16, 2, tzinfo=UTC)


def test_a_batch_family_that_needs_longer_than_any_window_never_starts() -> None:
    answer = forecast(hosts(2, waits=4 * HOUR), PACE, ForecastLimits(1), RolloutRules(SATURDAYS), NOW)
    assert answer.ends is None
    assert len(answer.left) == 2


def test_instances_that_never_start_do_not_keep_others_from_it() -> None:
    slow = Pending(InstanceId("i-slow"), Zone("a"), NEW, 4 * HOUR, staged=True)
    answer = forecast([slow, *hosts(2)], PACE, ForecastLimits(1), RolloutRules(SATURDAYS), NOW)
    assert answer.left == (InstanceId("i-slow"),)
    assert len(answer.batches) == 2


def test_canaries_go_first_and_the_rollout_waits_for_them() -> None:
    steps = Checkpoints(parse_checkpoints("1, 50%"), wait=HOUR)
    answer = forecast(hosts(4), PACE, ForecastLimits(4), RolloutRules(checkpoints=steps), NOW)
    assert [len(batch.instances) for batch in answer.batches] == [1, 1, 2]
    assert answer.batches[1].begins == NOW + 5 * MINUTE + HOUR


def test_a_daily_limit_spreads_the_rollout_over_days() -> None:
    answer = forecast(hosts(5), PACE, ForecastLimits(5), RolloutRules(checkpoints=Checkpoints(per_day=2)), NOW)
    assert [batch.begins for batch in answer.batches] == [NOW, NOW + DAY, NOW + 2 * DAY]


def test_quarantined_instances_that_fill_the_budget_leave_nothing_to_start() -> None:
    answer = forecast(hosts(2), PACE, ForecastLimits(1, taken=(Zone("a"),)), RolloutRules(), NOW)
    assert (answer.batches, len(answer.left)) == ((), 2)


def test_a_failed_canary_leaves_the_rest_where_they_are() -> None:
    steps = RolloutRules(
        checkpoints=Checkpoints(parse_checkpoints("1")), rollouts={NEW: RolloutState(NEW, 5, failed=1)}
    )
    assert len(forecast(hosts(4), PACE, ForecastLimits(1), steps, NOW).left) == 4


def test_a_canary_that_is_in_progress_is_waited_for() -> None:
    steps = RolloutRules(
        checkpoints=Checkpoints(parse_checkpoints("1"), wait=HOUR), rollouts={NEW: RolloutState(NEW, 5, in_progress=1)}
    )
    answer = forecast(hosts(4), PACE, ForecastLimits(4), steps, NOW)
    assert answer.batches[0].begins == NOW + 5 * MINUTE + HOUR


# Durations


def test_durations_without_records_are_the_defaults() -> None:
    assert pace_from(RecordedDurations(), STATED.settle) == STATED


@pytest.mark.parametrize(("share", "drain"), [(0.0, 1), (0.5, 6), (0.9, 10), (1.0, 10)])
def test_a_share_of_the_recorded_durations_is_covered(share: float, drain: int) -> None:
    recorded = RecordedDurations(drains=tuple(count * MINUTE for count in range(10, 0, -1)))
    assert pace_from(recorded, MINUTE, share=share).drain == drain * MINUTE


def test_only_the_time_out_of_service_must_end_within_a_window() -> None:
    assert needed(PACE, 4 * HOUR) == 4 * HOUR + 5 * MINUTE


# Properties

pendings = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0, 10, 90]), st.sampled_from(["1.43.0", "1.43.1"])),
    max_size=20,
).map(
    lambda drawn: [
        Pending(InstanceId(f"i-{number}"), Zone(zone), Version.parse(version), waits * MINUTE, staged=True)
        for number, (zone, waits, version) in enumerate(drawn)
    ]
)
limit_sets = st.builds(
    ForecastLimits,
    st.integers(1, 6),
    st.dictionaries(st.sampled_from([Zone("a"), Zone("b"), Zone("c")]), st.integers(1, 2)),
)
schedules = st.sampled_from(
    [
        Schedule(),
        SATURDAYS,
        Schedule(parse_windows("daily 23:30 2h Europe/Berlin; Sun 02:30 1h Europe/Berlin")),
        Schedule(parse_windows("Mon-Fri 10:00 30m UTC"), parse_freezes("2026-05-04..2026-05-06 UTC")),
        Schedule((), parse_freezes("2026-05-01 UTC")),
    ]
)
paces = st.sampled_from(
    [
        Checkpoints(),
        Checkpoints((Checkpoint(1), Checkpoint(50, percent=True)), HOUR),
        Checkpoints((), per_day=3),
        Checkpoints((Checkpoint(10, percent=True),), HOUR, per_day=5),
    ]
)
rules_drawn = st.builds(RolloutRules, schedules, paces)


@settings(deadline=None)
@given(pendings, limit_sets, rules_drawn)
def test_every_instance_is_in_one_batch_or_left(
    pending: list[Pending], limits: ForecastLimits, rules: RolloutRules
) -> None:
    answer = forecast(pending, PACE, limits, rules, NOW)
    named = [id_ for batch in answer.batches for id_ in batch.instances] + list(answer.left)
    assert sorted(named) == sorted(each.id for each in pending)
    assert (answer.ends is None) is bool(answer.left)


@settings(deadline=None)
@given(pendings, limit_sets, rules_drawn)
def test_no_batch_is_larger_than_the_budget_allows(
    pending: list[Pending], limits: ForecastLimits, rules: RolloutRules
) -> None:
    zones = {each.id: each.zone for each in pending}
    for batch in forecast(pending, PACE, limits, rules, NOW).batches:
        assert len(batch.instances) <= limits.total
        for zone, limit in limits.per_zone.items():
            assert sum(zones[id_] == zone for id_ in batch.instances) <= limit


@settings(deadline=None)
@given(pendings, limit_sets, rules_drawn)
def test_every_batch_is_back_before_its_window_closes_and_they_follow_each_other(
    pending: list[Pending], limits: ForecastLimits, rules: RolloutRules
) -> None:
    answer = forecast(pending, PACE, limits, rules, NOW)
    closings = set()
    for batch in answer.batches:
        opened = open_at(rules.schedule.windows, rules.schedule.freezes, batch.begins)
        assert isinstance(opened, Open)
        assert opened.until is None or batch.ends - PACE.settle <= opened.until
        closings.add(opened.until)
    assert answer.windows == max(1, len(closings))
    _follow(answer.batches)


def _follow(batches: tuple[Batch, ...]) -> None:
    for first, second in pairwise(batches):
        assert first.ends <= second.begins


@settings(deadline=None)
@given(pendings, limit_sets, rules_drawn)
def test_no_24_hours_of_a_forecast_see_more_start_than_a_day_allows(
    pending: list[Pending], limits: ForecastLimits, rules: RolloutRules
) -> None:
    limit = rules.checkpoints.per_day
    batches = forecast(pending, PACE, limits, rules, NOW).batches
    for first in batches:
        within = [batch for batch in batches if first.begins <= batch.begins < first.begins + DAY]
        assert limit is None or sum(len(batch.instances) for batch in within) <= limit


@settings(deadline=None)
@given(pendings, limit_sets)
def test_without_rules_every_instance_has_its_turn(pending: list[Pending], limits: ForecastLimits) -> None:
    assert forecast(pending, PACE, limits, RolloutRules(), NOW).left == ()
