"""Change calendars that updates wait for, in whole runs in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.policy.test_stories import Story, updated
from tests.support.simulated import instance_id, row

from bottlerocket_ecs_updater.core.model.calendars import CalendarClosed, CalendarOpen, CalendarUnread
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.rules.calendars import closes_at, hold_for_calendars, opens_at
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

OURS = "arn:aws:ssm:us-east-1:123456789012:document/company-changes"
SHARED = "arn:aws:ssm:us-east-1:999999999999:document/group-changes"
HOUR = timedelta(hours=1)


def story_of(world: World, folder: Path, *calendars: str) -> Story:
    return Story(world, Rules(calendars=calendars or (OURS,)), folder)


def the_hold(story: Story) -> Hold:
    holds = {why for why in story.run().outcomes.values() if isinstance(why, Hold)}
    assert len(holds) == 1
    return holds.pop()


def test_while_all_calendars_are_open_every_instance_is_updated(tmp_path: Path) -> None:
    world = row(3)
    world.calendars.set_calendar(OURS, "OPEN", world.clock.now() + 24 * HOUR)
    world.calendars.set_calendar(SHARED, "OPEN")
    assert updated(story_of(world, tmp_path, OURS, SHARED).run()) == 3


def test_a_closed_calendar_holds_every_instance_until_it_opens(tmp_path: Path) -> None:
    world = row(3)
    opens = world.clock.now().replace(microsecond=0) + 5 * HOUR
    world.calendars.set_calendar(OURS, "CLOSED", opens)
    story = story_of(world, tmp_path)
    why = the_hold(story)
    assert why.reason is Reason.CALENDAR_CLOSED
    assert time_text(opens) in str(why)
    world.clock.sleep(5 * HOUR)
    assert updated(story.run()) == 3


def test_one_closed_calendar_of_several_is_enough_to_hold(tmp_path: Path) -> None:
    world = row(2)
    world.calendars.set_calendar(OURS, "OPEN")
    world.calendars.set_calendar(SHARED, "CLOSED", world.clock.now() + HOUR)
    assert "group-changes" in str(the_hold(story_of(world, tmp_path, OURS, SHARED)))


def test_nothing_starts_that_would_not_end_before_the_calendar_closes(tmp_path: Path) -> None:
    world = row(3)
    world.calendars.set_calendar(OURS, "OPEN", world.clock.now() + timedelta(minutes=3))
    assert the_hold(story_of(world, tmp_path)).reason is Reason.CALENDAR_CUTOFF
    assert world.findings().most_out_at_once == 0


def test_an_entry_that_is_added_during_a_run_holds_the_next_drain(tmp_path: Path) -> None:
    world = row(4)
    world.calendars.set_calendar(OURS, "OPEN")
    close = lambda: world.calendars.set_calendar(OURS, "CLOSED", world.clock.now() + HOUR)  # noqa: E731
    world.clock.after(timedelta(minutes=4), close)
    finished = story_of(world, tmp_path).run()
    assert 0 < updated(finished) < 4
    assert {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)} == {Reason.CALENDAR_CLOSED}
    assert world.findings().stranded == ()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda world: None, "does not exist"),
        (lambda world: world.calendars.set_calendar(OURS, "CLOSED"), "names no opening time"),
        (lambda world: setattr(world, "authorize", denying("ssm:GetCalendarState")), "ssm:GetCalendarState"),
        (lambda world: world.documents.add("company-changes", "{}"), "must be of type ChangeCalendar"),
    ],
)
def test_a_calendar_without_a_usable_answer_holds_and_says_why(tmp_path: Path, prepare: object, words: str) -> None:
    world = row(2)
    prepare(world)  # type: ignore[operator]
    why = the_hold(story_of(world, tmp_path))
    assert why.reason is Reason.CALENDAR_UNKNOWN
    assert words in str(why)


def test_plan_and_explain_show_what_a_run_would_say_and_when_it_starts(tmp_path: Path) -> None:
    world = row(2)
    opens = world.clock.now().replace(microsecond=0) + 5 * HOUR
    world.calendars.set_calendar(OURS, "CLOSED", opens)
    story = story_of(world, tmp_path)
    planned, fleet = story.plan(), story.picture()
    assert {why.reason for _, why in planned.held} == {Reason.CALENDAR_CLOSED}
    assert planned.forecast.batches[0].begins >= opens
    first = InstanceId(instance_id(0))
    outcome = explain_instance(fleet.instances[first], fleet, replace(story.policy, rules=story.rules)).outcome
    assert isinstance(outcome, Hold)
    assert outcome.reason is Reason.CALENDAR_CLOSED


def test_the_forecast_plans_nothing_past_the_time_at_which_the_calendar_closes(tmp_path: Path) -> None:
    world = row(9)
    closes = world.clock.now() + HOUR / 2
    world.calendars.set_calendar(OURS, "OPEN", closes)
    planned = story_of(world, tmp_path).plan()
    assert planned.forecast.batches
    assert all(batch.begins < closes for batch in planned.forecast.batches)
    assert {why.reason for _, why in planned.held} == {Reason.CALENDAR_CUTOFF}


def test_a_saved_fleet_keeps_the_calendars(tmp_path: Path) -> None:
    world = row(1)
    world.calendars.set_calendar(OURS, "OPEN", world.clock.now() + 24 * HOUR)
    world.calendars.set_calendar(SHARED, "CLOSED")
    fleet = story_of(world, tmp_path, OURS, SHARED, OURS + "-gone").picture()
    assert {type(state) for state in fleet.calendars.values()} == {CalendarOpen, CalendarClosed, CalendarUnread}
    assert read_fleet(write_fleet(fleet, "demo"), "here")[0].calendars == fleet.calendars


def test_calendars_are_read_at_most_once_a_minute(tmp_path: Path) -> None:
    world = row(3)
    world.calendars.set_calendar(OURS, "OPEN")
    updater = story_of(world, tmp_path).updater()
    began = world.clock.now()
    updater.run()
    assert updater.calls["ssm:GetCalendarState"] <= (world.clock.now() - began) / timedelta(minutes=1) + 1


def test_a_calendar_that_should_have_closed_since_it_was_read_holds() -> None:
    now = row(1).clock.now()
    states = {OURS: CalendarOpen(now - HOUR)}
    why = hold_for_calendars((OURS,), states, now, timedelta())
    assert why is not None
    assert why.reason is Reason.CALENDAR_UNKNOWN
    assert (opens_at((OURS,), states), closes_at((OURS,), states)) == (None, now - HOUR)
