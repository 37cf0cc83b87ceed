"""Which changes of the ledger must be in the store before the next act, and which may wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import (
    Ledger,
    cannot_wait,
    with_backoff,
    with_broken,
    with_claim,
    with_duration,
    with_failure,
    with_sighting,
    with_start,
    with_troubled,
    with_update,
    without_claim,
)

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ID, OTHER = InstanceId("i-0000000000000000a"), InstanceId("i-0000000000000000b")
OLD, NEW = Version.parse("1.20.0"), Version.parse("1.21.0")
CLAIM = Claim(ClaimPhase.DRAINING, RunId("run-1"), OLD, NEW, BootId("boot-1"), NOW)
ARN = ContainerInstanceArn("arn:aws:ecs:us-east-1:123456789014:container-instance/demo/a")
claimed = partial(with_claim, instance=ID, claim=CLAIM, arn=ARN)
on_version = partial(with_troubled, version=NEW, services=())

LOST_WITH_THE_RUN: list[Callable[[Ledger], Ledger]] = [
    partial(with_backoff, instance=ID, backoff=Backoff(NEW, 1, NOW + timedelta(hours=1), "drain-timed-out")),
    partial(with_broken, version=NEW, found=BrokenVersion((ID,), ("service:web",), "exit code 1", NOW)),
    partial(with_failure, version=NEW, instance=ID),
    on_version,
]


@pytest.mark.parametrize("change", LOST_WITH_THE_RUN)
def test_a_failure_and_the_first_instance_on_a_version_cannot_wait(change: Callable[[Ledger], Ledger]) -> None:
    assert cannot_wait(Ledger(), change(Ledger()), attributes_survive=True)


@pytest.mark.parametrize(
    ("before", "change"), [(Ledger(), claimed), (claimed(Ledger()), partial(without_claim, instance=ID))]
)
def test_a_claim_waits_only_if_attributes_survive(before: Ledger, change: Callable[[Ledger], Ledger]) -> None:
    assert cannot_wait(before, change(before), attributes_survive=False)
    assert not cannot_wait(before, change(before), attributes_survive=True)


@pytest.mark.parametrize(
    "change",
    [
        partial(with_start, instance=ID, at=NOW),
        partial(with_duration, drain=timedelta(seconds=40)),
        partial(with_sighting, version=NEW, at=NOW),
        partial(with_update, instance=OTHER, version=NEW, at=NOW),
    ],
)
@pytest.mark.parametrize("survive", [True, False])
def test_facts_that_the_next_run_can_find_may_be_saved_later(change: Callable[[Ledger], Ledger], survive: bool) -> None:
    before = on_version(Ledger())
    assert not cannot_wait(before, change(before), attributes_survive=survive)
