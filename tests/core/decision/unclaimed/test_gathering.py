"""Free slots wait a little for others, so that updates start together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.builders import MINUTE, NOW, POLL, SECOND, a_claim, a_return, claimed, fleet, instance

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.gathering import starts_together_at
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Durations
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress
from bottlerocket_ecs_updater.core.model.services import Slot
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy

USUAL = Durations(reboot=MINUTE)
PROMPT = Policy(max_unavailable=Limit(number=3), settle=timedelta(0))
SETTLED = Policy(max_unavailable=Limit(number=3), settle=MINUTE)


def returned(ago: timedelta, name: str = "i-back") -> Instance:
    return instance(name, progress=RunProgress(unmarked=True, sent_return=a_return(NOW - ago, confirmed=True)))


def rebooting(sent: timedelta) -> Instance:
    claim = a_claim(ClaimPhase.REBOOTING)
    return claimed("i-away", claim=claim, progress=RunProgress(reboot_sent_at=NOW - sent))


def waits_until(
    *instances: Instance, slots: int = 1, limit: int = 5, policy: Policy = PROMPT, settling: int = 0
) -> object:
    taken = tuple(Slot(one.id, one.zone, NOW - settling * SECOND, {}, NOW - settling * SECOND) for one in instances[:1])
    known = fleet(*instances, durations=USUAL, slots=taken if settling else ())
    return starts_together_at(slots, limit, Pass(known, policy))


def test_a_slot_waits_for_a_host_that_is_about_to_be_back() -> None:
    assert waits_until(returned(SECOND), rebooting(62 * SECOND)) == NOW - SECOND + 3 * POLL


@pytest.mark.parametrize("sent", [10 * SECOND, 5 * MINUTE])
def test_it_does_not_wait_for_one_that_takes_longer_or_is_late(sent: timedelta) -> None:
    assert waits_until(returned(SECOND), rebooting(sent)) is None


def test_it_waits_no_longer_than_its_time() -> None:
    assert waits_until(returned(3 * POLL), rebooting(62 * SECOND)) is None


def test_the_first_of_several_free_slots_decides() -> None:
    two = returned(SECOND), returned(2 * POLL, "i-first")
    assert waits_until(*two, rebooting(62 * SECOND), slots=1) is not None
    assert waits_until(*two, rebooting(62 * SECOND), slots=2) is None


def test_slots_that_no_return_made_free_do_not_wait() -> None:
    assert waits_until(rebooting(62 * SECOND)) is None
    assert waits_until(returned(SECOND), rebooting(62 * SECOND), slots=2) is None


def test_with_one_or_two_slots_nothing_waits() -> None:
    assert waits_until(returned(SECOND), rebooting(62 * SECOND), limit=2) is None


def crowd(*free_for: int, back_in: int = 30, others: int = 20) -> tuple[Instance, ...]:
    """Hosts of a crowd: some whose slots became free so many seconds ago, and others whose slots will be free soon."""
    ours = [returned(timedelta(seconds=60 + ago), f"i-free-{place}") for place, ago in enumerate(free_for)]
    sent = timedelta(seconds=128 - back_in)
    away = [replace(rebooting(sent), id=InstanceId(f"i-away-{place}")) for place in range(others)]
    return (*ours, *away)


CROWD = Policy(max_unavailable=Limit(number=30), settle=MINUTE)


@pytest.mark.parametrize(
    ("hosts", "waits"),
    [
        (crowd(1, back_in=70), 119),
        (crowd(1, back_in=110), 119),
        (crowd(1, back_in=122), None),
        (crowd(119, back_in=70), None),
        (crowd(1, back_in=70, others=3), None),
        (crowd(1, 1, 1, 1, 1, back_in=70), 119),
        (crowd(1, 1, 1, 1, 1, 1, back_in=70), None),
    ],
    ids=["many soon", "many in time", "many too late", "waited long", "few others", "a fifth", "more than a fifth"],
)
def test_a_few_slots_of_a_crowd_wait_for_many_others(hosts: tuple[Instance, ...], waits: int | None) -> None:
    free = sum(1 for one in hosts if one.id.startswith("i-free"))
    expected = NOW + waits * SECOND if waits is not None else None
    assert waits_until(*hosts, slots=free, limit=30, policy=CROWD) == expected
    assert waits_until(*hosts, slots=free, limit=10, policy=CROWD) is None
    assert waits_until(*hosts, slots=free, limit=30, policy=PROMPT) is None


def test_a_slot_that_waited_for_the_others_does_not_keep_them_from_waiting_for_each_other() -> None:
    hosts = (instance("i-settles"), *crowd(1, 1, 1, 100, others=0))
    assert waits_until(*hosts, slots=4, limit=30, policy=CROWD, settling=45) == NOW - SECOND + 6 * POLL
    assert waits_until(*hosts, slots=4, limit=30, policy=CROWD, settling=25) is None
    assert waits_until(*hosts, slots=4, limit=10, policy=CROWD, settling=45) is None


def test_a_settled_slot_waits_for_one_that_is_about_to_settle() -> None:
    settling, settled = instance("i-settles"), returned(62 * SECOND)
    assert waits_until(settling, settled, policy=SETTLED, settling=55) == NOW - 2 * SECOND + 6 * POLL
    assert waits_until(settling, settled, policy=SETTLED, settling=10) is None
