"""No run does what the operator's policy forbids, whatever the policy. The simulator's record shows it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.policy.test_stories import DAY, Story
from tests.support.rules import parse_checkpoints, parse_freezes, parse_windows
from tests.support.simulated import NEW, OLD, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Claimed, HostChecked
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule

HOSTS = 9
NEWER = "1.22.0"


class Wish:
    """A random policy, and what it forbids, computed independently."""

    def __init__(self, seed: int) -> None:
        chances = random.Random(seed)
        self.opens, self.hours = chances.randrange(24), chances.randint(1, 6)
        self.frozen = datetime(2026, 1, chances.randint(5, 8), tzinfo=UTC)
        self.excluded = {instance_id(number) for number in chances.sample(range(HOSTS), 2)}
        self.denied = chances.choice([OLD, NEW, NEWER])
        self.per_day = chances.randint(1, 4)
        self.canaries = chances.randint(1, 3)
        self.wait = timedelta(hours=chances.randint(1, 30))
        self.budget = chances.randint(1, 3)

    @property
    def rules(self) -> Rules:
        return Rules(
            selection=Selection(exclude=tuple(map(parse_selector, sorted(self.excluded)))),
            versions=VersionRules(deny=(VersionRange.parse(self.denied),)),
            schedule=Schedule(
                parse_windows(f"daily {self.opens:02}:00 {self.hours}h UTC"),
                parse_freezes(f"{self.frozen:%Y-%m-%d} UTC"),
            ),
            checkpoints=Checkpoints(parse_checkpoints(f"{self.canaries},100%"), self.wait, self.per_day),
        )

    def forbids(self, claim: Claimed) -> bool:
        """Whether an instance's update should not have started then, whatever happened before."""
        opened = claim.at.replace(hour=self.opens, minute=0, second=0, microsecond=0)
        opened -= DAY if opened > claim.at else timedelta()
        outside = claim.at >= opened + timedelta(hours=self.hours)
        frozen = self.frozen <= claim.at < self.frozen + DAY
        return outside or frozen or claim.instance in self.excluded or str(claim.target) == self.denied


@pytest.mark.parametrize("seed", range(8))
def test_no_run_starts_an_update_that_its_policy_forbids(seed: int, tmp_path: Path) -> None:
    wish = Wish(seed)
    world = row(HOSTS, seed=seed, releases=(OLD, NEW, NEWER), budget=wish.budget)
    story = Story(world, wish.rules, tmp_path, Policy(max_unavailable=Limit(number=wish.budget)))
    claims: list[Claimed] = []
    asked: set[str] = set()
    for _ in range(24):
        updater = story.updater()
        updater.run()
        claims += updater.tape.of(Claimed)
        asked |= {str(event.instance) for event in updater.tape.of(HostChecked)}
        world.clock.sleep(timedelta(hours=5, minutes=17))
    assert [claim for claim in claims if wish.forbids(claim)] == []
    assert asked & wish.excluded == set()
    for claim in claims:
        assert sum(1 for one in claims if claim.at - DAY < one.at <= claim.at) <= wish.per_day
    # The hosts were offered the newest version; if that one is denied, no update starts at all.
    assert bool(claims) == (wish.denied != NEWER)
    if len(claims) > wish.canaries:
        assert claims[wish.canaries].at - claims[wish.canaries - 1].at >= wish.wait
    assert world.findings().violations == ()
