"""The timeline of a run: every period is accounted for, and time out of service is counted correctly."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.runs import died, events_of
from tests.report.samples import NEW, OLD, RUN, START, name
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    ClaimFound,
    CommandSent,
    Drained,
    Event,
    InstanceFailed,
    InstanceQuarantined,
    PhaseEntered,
    Rebooted,
    Returned,
    Settled,
)
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failure, failed
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.report.analysis.timeline import OUT_OF_SERVICE, Lane, Part, timeline_of

ONE = name(1)
NOT_BACK = failed(Failure.NOT_BACK, limit="20m", detail="silence")


def after(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


def at(minutes: float) -> object:
    return START + after(minutes)


def lane_of(*events: Event) -> Lane:
    timeline = timeline_of(events)
    assert timeline is not None
    return timeline.lanes[ONE]


def parts(lane: Lane) -> list[tuple[Part, float]]:
    return [(stretch.part, stretch.lasted / after(1)) for stretch in lane.stretches]


def life() -> list[Event]:
    """Staged, drained, rebooted, returned, settled: the first takes one minute, each later one a minute more."""
    t = [START + after(minutes) for minutes in (0, 1, 3, 6, 10, 15, 21)]
    return [
        CommandSent(t[0], ONE, DocumentKind.APPLY, "c"),
        PhaseEntered(t[0], ONE, Phase.STAGING, Phase.AVAILABLE, None),
        PhaseEntered(t[1], ONE, Phase.READY, Phase.STAGING, after(1)),
        Claimed(t[2], ONE, OLD, NEW, downgrade=False),
        Drained(t[2], ONE, 4),
        PhaseEntered(t[3], ONE, Phase.REBOOTING, Phase.DRAINING, after(3)),
        Rebooted(t[4], ONE, NEW, after(4)),
        PhaseEntered(t[4], ONE, Phase.VERIFYING, Phase.REBOOTING, after(4)),
        Returned(t[5], ONE, after(12)),
        PhaseEntered(t[5], ONE, Phase.CURRENT, Phase.RETURNING, None),
        Settled(t[6], ONE, after(6)),
    ]


def test_the_timeline_of_an_instance_is_its_parts_in_order() -> None:
    assert parts(lane_of(*life())) == [
        (Part.STAGING, 1),
        (Part.READY, 2),
        (Part.DRAINING, 3),
        (Part.REBOOTING, 4),
        (Part.VERIFYING, 5),
        (Part.SETTLING, 6),
    ]


def test_out_of_service_is_from_the_drain_to_the_return() -> None:
    lane = lane_of(*life())
    assert (lane.out_of_service, lane.out_since, lane.out_from) == (after(12), None, START + after(3))


def test_versions_and_moved_tasks_are_known_from_events() -> None:
    lane = lane_of(*life())
    assert (lane.before, lane.after, lane.moved) == (OLD, NEW, 4)


def test_a_look_from_before_the_drain_does_not_make_a_drain_a_return() -> None:
    events = life()
    events.insert(5, PhaseEntered(START + after(3), ONE, Phase.RETURNING, Phase.READY, after(2)))
    events.insert(6, PhaseEntered(START + after(4), ONE, Phase.DRAINING, Phase.RETURNING, after(1)))
    assert parts(lane_of(*events)) == parts(lane_of(*life()))


def test_a_staging_that_failed_ends_with_the_failure() -> None:
    events = [
        CommandSent(START, ONE, DocumentKind.APPLY, "c"),
        PhaseEntered(START + after(1), ONE, Phase.AVAILABLE, Phase.STAGING, after(1)),
        InstanceFailed(START + after(2), ONE, failed(Failure.APPLY_FAILED, detail="no space")),
        Settled(START + after(30), name(2), after(1)),
    ]
    assert parts(lane_of(*events)) == [(Part.STAGING, 2)]


def test_a_quarantined_instance_stays_out_of_service_to_the_end() -> None:
    events = [
        *life()[:7],
        InstanceQuarantined(START + after(20), ONE, NOT_BACK),
        Settled(START + after(50), name(2), after(1)),
    ]
    lane = lane_of(*events)
    assert lane.stretches[-1].part is Part.QUARANTINED
    assert (lane.out_since, lane.out_of_service) == (START + after(3), after(47))


def test_an_instance_from_an_earlier_run_is_out_of_service_since_then_but_counts_in_this_run() -> None:
    earlier = START - timedelta(hours=9)
    events = [
        ClaimFound(START, ONE, "quarantined", RUN, earlier),
        PhaseEntered(START, ONE, Phase.QUARANTINED, Phase.UNKNOWN, None),
        Settled(START + after(10), name(2), after(1)),
    ]
    lane = lane_of(*events)
    assert (lane.out_since, lane.found_from, lane.out_of_service) == (earlier, RUN, after(10))


def test_nothing_at_all_is_no_timeline() -> None:
    assert timeline_of([]) is None


@pytest.mark.parametrize("run", ["clean", "broken", "halted"])
def test_in_a_real_run_the_time_out_of_service_equals_the_engines_measurement(run: str) -> None:
    events = events_of(run)
    timeline = timeline_of(events)
    assert timeline is not None
    measured: dict[str, timedelta] = {}
    for event in events:
        if isinstance(event, Returned) and event.out_of_service is not None:
            measured[event.instance] = measured.get(event.instance, timedelta()) + event.out_of_service
    assert measured
    assert {id_: timeline.lanes[id_].out_of_service for id_ in measured} == measured  # type: ignore[index]


@pytest.mark.parametrize(("run", "budget"), [("clean", 2), ("broken", 8), ("halted", 3)])
def test_a_real_run_never_has_more_out_of_service_than_its_budget(run: str, budget: int) -> None:
    timeline = timeline_of(events_of(run))
    assert timeline is not None
    steps = timeline.out_at_once()
    assert max(count for _, count in steps) == budget
    assert steps[-1][1] == sum(1 for lane in timeline.lanes.values() if lane.out_since is not None)


def test_a_run_that_died_leaves_its_instances_where_they_were() -> None:
    timeline = timeline_of(died("clean"))
    assert timeline is not None
    left = [lane for lane in timeline.lanes.values() if lane.out_since is not None]
    assert left
    assert all(lane.stretches[-1].part in OUT_OF_SERVICE for lane in left)


@given(events=st.lists(ANY_EVENT, max_size=30))
def test_stretches_of_an_instance_do_not_overlap_for_any_events(events: list[Event]) -> None:
    timeline = timeline_of(sorted(events, key=lambda event: event.at))
    for lane in timeline.lanes.values() if timeline is not None else ():
        assert all(before.ended <= next_.began for before, next_ in pairwise(lane.stretches))
        assert all(stretch.began < stretch.ended for stretch in lane.stretches)
        assert lane.out_of_service >= timedelta()
