"""Rules that are evaluated once for all ready instances agree with the rules evaluated for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import NEW, NOW, service
from tests.core.strategies import crowds, fleets
from tests.support.rules import parse_windows

from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import Ready, assess
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import first_hold
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import History, PastUpdate
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.services import Health, Services
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint, Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule

EARLIER = NOW - timedelta(hours=2)

WINDOWS = ("Mon 09:00 14h UTC", "Mon 09:00 62m UTC", "Mon 09:00 66m UTC")
"""Open for long, about to close, and open just long enough for an update that is staged already."""

rules = st.builds(
    Rules,
    schedule=st.sampled_from([Schedule(), *(Schedule(parse_windows(text)) for text in WINDOWS)]),
    checkpoints=st.sampled_from([Checkpoints(), Checkpoints(per_day=1), Checkpoints((Checkpoint(1),))]),
    tasks=st.builds(TaskRules, hold_while_deploying=st.booleans()),
)
states = st.tuples(
    st.sampled_from([None, Health(NOW), Health(NOW, ("alarm web is ALARM",), EARLIER)]),
    st.booleans(),
    st.sampled_from(
        [
            History(),
            History(started_nameless=(EARLIER,)),
            History(updated={InstanceId("i-0"): PastUpdate(NEW, EARLIER)}),
        ]
    ),
    st.sampled_from(["", "a person"]),
)


@given(st.one_of(crowds(), crowds(), fleets()), rules, states)
def test_a_block_for_all_ready_hosts_blocks_each(
    fleet: Fleet, asked: Rules, state: tuple[Health | None, bool, History, str]
) -> None:
    health, deploying, past, paused = state
    services = Services((replace(service(), deploying=deploying),), NOW)
    fleet = replace(fleet, health=health, services=services, past=past, shared=Shared(paused=paused))
    policy = Policy(rules=asked)
    for one in fleet.instances.values():
        candidate = assess(one, Pass(fleet, policy)) if one.claim is None else None
        if isinstance(candidate, Ready):
            offered = OfferedUpdate(one, candidate.report, candidate.target)
            each = first_hold(RolloutLimits(Pass(fleet, policy)).answers(offered))
            assert RolloutLimits(Pass(fleet, policy)).blocked(candidate.target) == each
