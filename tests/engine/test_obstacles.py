"""An instance is held for missing facts only after many looks: in a large cluster, one look takes most of a minute."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.command import NextStep
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.obstacles import Obstacles
from bottlerocket_ecs_updater.engine.run_state import RunState

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ID = InstanceId("i-0000000000000000a")
POLICY = Policy()


@dataclass
class Settled:
    """Stands for the executor: it keeps the outcomes that it is given."""

    found: dict[InstanceId, Outcome] = field(default_factory=dict)

    @property
    def outcomes(self) -> Settled:
        return self

    def settle(self, id_: InstanceId, outcome: Outcome) -> None:
        self.found[id_] = outcome


def looks(count: int, apart: timedelta) -> Settled:
    """Passes that each want to look again at once."""
    known = RunState(Fleet(RunId("run-1"), START, START, START, {}), {ID: Instance(ID)})
    settled = Settled()
    obstacles = Obstacles(known, cast("Any", settled), cast("Any", None), POLICY)
    for number in range(count):
        now = START + number * apart
        known.fleet = replace(known.fleet, at=now)
        obstacles.notice_missing_facts(Decision({ID: NextStep(look_at=now)}, None, now))
    return settled


def test_facts_that_many_looks_do_not_return_hold_the_instance() -> None:
    found = looks(14, POLICY.poll_interval).found[ID]
    assert isinstance(found, Hold)
    assert found.reason is Reason.FACTS_MISSING


@pytest.mark.parametrize(("count", "seconds"), [(10, 5), (60, 1), (3, 45), (8, 45)])
def test_neither_a_short_time_nor_few_looks_hold_it(count: int, seconds: int) -> None:
    assert looks(count, timedelta(seconds=seconds)).found == {}


def test_slow_looks_hold_it_in_the_end() -> None:
    assert ID in looks(20, timedelta(seconds=45)).found
