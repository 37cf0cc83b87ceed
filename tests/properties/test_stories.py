"""Whatever happens to a cluster and to the runs that come and go, every promise is kept.

Hypothesis generates the scenarios, the same ones in every run of the tests, and reduces a failing one to its simplest
form. `make soak` runs as many others as you like, by seed.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from tests.support.invented import (
    quiet_story,
    stories,
    story_of_deaths,
    story_of_departures,
    story_of_everything,
    story_of_faults,
    story_of_interruptions,
    story_of_mixed_ground,
    story_of_operators,
    story_of_own_ground,
    story_of_pinned_tasks,
    story_of_stale_reads,
    story_of_the_field,
    story_of_the_platform,
)
from tests.support.promises import broken_promises
from tests.support.store_stories import story_of_the_store
from tests.support.story import Story, play

ALWAYS_THE_SAME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same scenarios on every machine, however slow. Tests of these scenarios have no natural length."""


@settings(ALWAYS_THE_SAME, max_examples=40)
@given(stories(quiet_story))
def test_a_cluster_without_faults_is_updated_within_its_budgets(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=70)
@given(stories(story_of_faults))
def test_broken_hosts_and_people_who_meddle_keep_no_promise_from_being_kept(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=40)
@given(stories(story_of_own_ground))
def test_updaters_on_the_hosts_that_they_update_break_no_promise(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_departures))
def test_groups_that_take_hosts_away_and_people_who_stop_them_keep_no_promise_from_being_kept(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_mixed_ground))
def test_instances_that_do_not_take_every_task_keep_no_promise_from_being_kept(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=30)
@given(stories(story_of_pinned_tasks))
def test_a_service_that_lets_no_task_go_keeps_no_other_host_from_its_update(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=40)
@given(stories(story_of_interruptions))
def test_spot_interruptions_and_people_who_deregister_hosts_or_delete_claims_break_no_promise(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_the_field))
def test_services_in_trouble_and_versions_that_break_tasks_break_no_promise(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=40)
@given(stories(story_of_the_platform))
def test_actions_of_ecs_and_auto_scaling_break_no_promise(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_deaths))
def test_updaters_may_die_stand_still_and_run_beside_each_other_at_any_time(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=25)
@given(stories(story_of_stale_reads))
def test_an_ecs_that_shows_what_was_true_a_minute_ago_keeps_no_promise_from_being_kept(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_everything))
def test_all_of_it_at_once_and_an_aws_that_throttles_fails_and_answers_late(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=60)
@given(stories(story_of_the_store))
def test_a_store_that_fails_in_every_way_keeps_no_promise_from_being_kept(story: Story) -> None:
    assert broken_promises(play(story)) == []


@settings(ALWAYS_THE_SAME, max_examples=30)
@given(stories(story_of_operators))
def test_documents_and_alarms_of_the_operators_that_say_no_now_and_then_keep_no_promise_from_being_kept(
    story: Story,
) -> None:
    assert broken_promises(play(story)) == []
