"""How long drains and reboots usually take, as looks show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import quiet_time
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.engine.usual_duration import UsualDuration, UsualReboots, UsualStops

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
POLL = 5 * SECOND


def learned(*first: float) -> UsualDuration:
    """After reboots that took so many seconds, one after the other."""
    usual = UsualDuration(POLL, 2 * MINUTE)
    for place, took in enumerate(first):
        usual.note_over(InstanceId(f"i-first-{place}"), NOW - (len(first) - place) * 5 * MINUTE, took * SECOND)
    return usual


def look(usual: UsualDuration, at: float, going_on: set[str]) -> None:
    """A look, so many seconds after NOW, at which those are not over."""
    for name in going_on:
        usual.note_not_over(InstanceId(name), NOW, NOW + at * SECOND)


def wave(usual: UsualDuration, began: datetime, *took: float) -> None:
    """Hosts whose reboots began together, in looks that are half a poll apart."""
    assert usual.usual is not None
    left = {InstanceId(f"i-{began:%H%M}-{place}"): one * SECOND for place, one in enumerate(took)}
    at = quiet_time(usual.usual, POLL)
    while left:
        for id_ in [id_ for id_, one in left.items() if one <= at]:
            usual.note_over(id_, began, at)
            del left[id_]
        for id_ in left:
            usual.note_not_over(id_, began, began + at)
        at += POLL / 2


def test_hosts_that_take_far_longer_than_those_that_began_with_them_teach_nothing() -> None:
    calm, slow = learned(40), learned(40)
    for place in range(12):
        wave(calm, NOW + place * 3 * MINUTE, *range(36, 50))
        wave(slow, NOW + place * 3 * MINUTE, *range(36, 50), 80, 95, 100)
    assert slow.usual == calm.usual


def test_looks_follow_the_first_of_those_that_begin_together() -> None:
    usual = learned(60)
    for place in range(20):
        wave(usual, NOW + place * 3 * MINUTE, *range(36, 50))
    assert usual.usual is not None
    assert abs(quiet_time(usual.usual, POLL) - 36 * SECOND) <= POLL


def test_a_host_that_takes_longer_alone_is_learned_from() -> None:
    usual = learned(40)
    before = usual.usual
    assert before is not None
    wave(usual, NOW, 80)
    assert usual.usual is not None
    assert before < usual.usual <= before + POLL / 2


def test_what_takes_too_long_to_be_usual_is_not_learned() -> None:
    usual = learned(40)
    before = usual.usual
    usual.note_over(InstanceId("i-late"), NOW, 3 * MINUTE)
    assert usual.usual == before


def test_a_run_expects_the_quicker_reboots_that_earlier_runs_recorded() -> None:
    usual = UsualReboots(POLL, 2 * MINUTE)
    assert usual.of("m7g.large").usual is None
    usual = UsualReboots(POLL, 2 * MINUTE)
    usual.begin_with([took * SECOND for took in (40, 44, 41, 90, 42, 43, 46, 45)])
    assert usual.of("m7g.large").usual == usual.earlier == 42 * SECOND - POLL / 2


def test_nothing_is_expected_of_reboots_that_were_delayed() -> None:
    usual = UsualReboots(POLL, 2 * MINUTE)
    usual.begin_with([3 * MINUTE, 10 * MINUTE])
    assert usual.earlier is None
    usual.begin_with([3 * MINUTE, 40 * SECOND, 10 * MINUTE])
    assert usual.earlier == 40 * SECOND - POLL / 2


def test_what_was_expected_too_long_is_unlearned_within_a_few_hosts() -> None:
    usual = UsualDuration(POLL, 2 * MINUTE, 100 * SECOND)
    for place in range(14):
        wave(usual, NOW + place * 3 * MINUTE, 50)
    assert usual.usual is not None
    assert quiet_time(usual.usual, POLL) <= 60 * SECOND


def test_each_instance_type_has_its_own_reboots() -> None:
    usual = UsualReboots(POLL, 2 * MINUTE)
    usual.of("g5.xlarge").note_over(InstanceId("i-slow"), NOW, 110 * SECOND)
    usual.of("t3.large").note_over(InstanceId("i-quick"), NOW, 40 * SECOND)
    usual.of("m7g.large")
    assert usual.usual == {"g5.xlarge": 110 * SECOND - POLL / 2, "t3.large": 40 * SECOND - POLL / 2}


def test_a_service_usually_stops_as_quickly_as_in_its_quicker_drains() -> None:
    usual = UsualStops(2 * MINUTE)
    for took in (500, 30, 31, 60, 33, 90, 32, 34, 35):
        usual.note("web", took * SECOND)
    assert usual.usual == {"web": 32 * SECOND}


def test_a_stop_that_took_long_once_says_nothing_and_twice_is_usual() -> None:
    usual = UsualStops(2 * MINUTE)
    usual.note("web", 5 * MINUTE)
    assert usual.usual == {}
    usual.note("web", 6 * MINUTE)
    assert usual.usual == {"web": 5 * MINUTE}
