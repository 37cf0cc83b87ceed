from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.builders import HOUR, MINUTE, NEW, NEWER, NOW

from bottlerocket_ecs_updater.core.decision.backoff import FIRST_BACKOFF, next_backoff
from bottlerocket_ecs_updater.core.model.outcome import LONGEST_BACKOFF, Backoff


def after(attempts: int) -> Backoff:
    rest = next_backoff(None, NEW, "apply-failed", NOW)
    for _ in range(attempts - 1):
        rest = next_backoff(rest, NEW, "apply-failed", NOW)
    return rest


def test_a_first_failure_backs_off_for_half_an_hour() -> None:
    assert after(1) == Backoff(NEW, 1, NOW + 30 * MINUTE, "apply-failed")


@pytest.mark.parametrize(("attempts", "length"), [(2, HOUR), (3, 2 * HOUR), (4, 4 * HOUR)])
def test_each_failure_doubles_the_rest(attempts: int, length: timedelta) -> None:
    assert after(attempts) == Backoff(NEW, attempts, NOW + length, "apply-failed")


def test_no_rest_is_longer_than_the_longest() -> None:
    assert after(2000).until - NOW == LONGEST_BACKOFF


def test_another_version_starts_again() -> None:
    assert next_backoff(after(5), NEWER, "apply-failed", NOW).until - NOW == FIRST_BACKOFF


def test_a_version_that_rolled_back_backs_off_until_a_person_says_so() -> None:
    rest = next_backoff(None, NEW, "rolled-back", NOW, rolled_back=True)
    assert rest.rolled_back
    assert rest.until > NOW + timedelta(days=365)
