"""Several simulated clusters that share one state store, each in its own world, with clocks that advance together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, EngineClock, Updater, row

from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.promotion import Requirement, StageRules
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator.world.world import World


@dataclass
class _Ahead(EngineClock):
    """The clock of an updater, ahead of its world's or behind it."""

    ahead: timedelta = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead


@dataclass
class Cluster:
    """One cluster, and its runs."""

    place: Location
    world: World
    store: Store
    rules: Rules
    ahead: timedelta = timedelta()
    runs: int = 0
    updaters: list[Updater] = field(default_factory=list)

    def run(self, rules: Rules | None = None, **options: Any) -> RunFinished:
        """One complete run."""
        self.runs += 1
        name = f"{self.place.name}-{self.runs}"
        updater = Updater(
            self.world,
            Policy(max_unavailable=Limit(number=1), rules=rules or self.rules),
            name=name,
            ledger=KeptLedger(self.store, str(self.place), RunId(name)),
            clock=_Ahead(self.world, self.ahead),
            store=self.store,
            state=str(self.place),
            place=self.place,
            **options,
        )
        self.updaters.append(updater)
        return updater.run()

    @property
    def versions(self) -> set[str]:
        """The versions that its hosts run."""
        return {host.running for host in self.world.hosts.values()}


@dataclass
class Clusters:
    """All clusters."""

    each: dict[str, Cluster] = field(default_factory=dict)
    store: Store = field(default_factory=MemoryStore)

    def add(
        self,
        name: str,
        stage: str = "",
        promoted_by: Iterable[str] = (),
        *,
        hosts: int = 3,
        account: str = "111122223333",
        ahead: timedelta = timedelta(),
        rules: Rules | None = None,
        stages: Mapping[str, Any] | None = None,
        **world: Any,
    ) -> Cluster:
        """Add a cluster in that stage."""
        waits = tuple(map(Requirement.parse, promoted_by))
        asked = replace(rules or Rules(), stages=StageRules(stage, waits, **(stages or {})))
        place = Location(account, "us-east-1", name)
        self.each[name] = Cluster(place, row(hosts, budget=1, **world), self.store, asked, ahead)
        return self.each[name]

    @property
    def now(self) -> datetime:
        """The time in the cluster whose runs took longest."""
        return max(one.world.clock.now() for one in self.each.values())

    def wait(self, span: timedelta) -> None:
        """Let time pass in all clusters, until all have the same time."""
        latest = self.now + span
        for one in self.each.values():
            one.world.clock.sleep(latest - one.world.clock.now())


def reasons(finished: RunFinished) -> set[str]:
    """The codes of all holds at the end of a run."""
    return {one.reason.code for one in finished.outcomes.values() if isinstance(one, Hold)}


def updated(finished: RunFinished) -> int:
    """How many instances a run updated."""
    return sum(isinstance(one, Updated) for one in finished.outcomes.values())


def held(finished: RunFinished) -> str:
    """The text of one of the holds."""
    return next(str(one) for one in finished.outcomes.values() if isinstance(one, Hold))


def at_ease(outcomes: Iterable[Outcome]) -> bool:
    """Whether all instances are up to date."""
    return all(isinstance(one, Updated | UpToDate) for one in outcomes)


__all__ = ["NEW", "Cluster", "Clusters", "at_ease", "held", "reasons", "updated"]
