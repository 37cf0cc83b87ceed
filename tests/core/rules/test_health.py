"""What must be well before updates go on: whatever is not known to be well counts as not well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.services import Health, see_health
from bottlerocket_ecs_updater.core.model.wording import NAMED_AT_MOST
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, hold_for_health, judge_alarms, read_probe

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

names = st.text(st.sampled_from("abc-"), min_size=1, max_size=4)
states = st.dictionaries(names, st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA", "of a later API"]), max_size=6)
rules = st.builds(AlarmRule, names, st.booleans())


def judge(text: str, **found: str) -> tuple[str, ...]:
    return judge_alarms([AlarmRule.parse(text)], {name.replace("_", "-"): state for name, state in found.items()})


def test_an_alarm_that_is_ok_holds_nothing() -> None:
    assert judge("errors", errors="OK") == ()


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA", "MAINTENANCE"])
def test_every_other_state_is_not_healthy(state: str) -> None:
    assert judge("errors", errors=state) == (f"alarm errors is {state}",)


def test_an_alarm_that_does_not_exist_is_not_healthy() -> None:
    assert judge("errors") == ("there is no alarm errors",)


def test_a_prefix_means_all_that_start_with_it_and_no_other() -> None:
    assert judge("web-*", web_a="OK", web_b="ALARM", api="ALARM") == ("alarm web-b is ALARM",)
    assert judge("web-*", api="OK") == ("there is no alarm web-*",)


def test_an_alarm_that_two_rules_name_is_reported_once() -> None:
    assert judge_alarms([AlarmRule("a"), AlarmRule("a", prefix=True)], {"a": "ALARM"}) == ("alarm a is ALARM",)


@given(st.lists(rules, min_size=1, max_size=4), states)
def test_all_is_healthy_only_where_every_rule_finds_an_alarm_and_all_that_it_finds_are_ok(
    given_rules: list[AlarmRule], found: dict[str, str]
) -> None:
    meant = [[state for name, state in found.items() if rule.matches(name)] for rule in given_rules]
    well = all(each and set(each) == {"OK"} for each in meant)
    assert (judge_alarms(given_rules, found) == ()) == well


@pytest.mark.parametrize("text", ["", "*", "a*b", "a;b", "line\nbreak", "x" * 257])
def test_an_invalid_alarm_name_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of an alarm"):
        AlarmRule.parse(text)


@given(names, st.booleans())
def test_a_rule_is_read_as_it_is_written(name: str, prefix: bool) -> None:
    rule = AlarmRule(name, prefix)
    assert AlarmRule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "ftp://host", "file:///etc/passwd", "http://", "https://two words", "example.com"]
)
def test_an_invalid_probe_url_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        read_probe(text)


def test_the_time_since_which_something_is_unwell_is_kept_until_all_is_healthy() -> None:
    first = see_health(None, ("a",), NOON)
    second = see_health(first, ("b",), NOON + MINUTE)
    assert second == Health(NOON + MINUTE, ("b",), NOON)
    assert see_health(second, (), NOON + 2 * MINUTE) == Health(NOON + 2 * MINUTE)


def test_a_hold_names_a_few_and_counts_the_rest() -> None:
    why = hold_for_health(Health(NOON, tuple("abcde"), NOON))
    assert why is not None
    assert why.reason is Reason.UNWELL
    assert str(why).endswith(f"a; b; c and {5 - NAMED_AT_MOST} more")
    assert hold_for_health(Health(NOON)) is None
