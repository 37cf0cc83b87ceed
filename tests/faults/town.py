"""A small cluster in which one host, the first to be updated, has a fault.

Runs start an hour apart.

Whatever the fault, no task is killed by the updater, nothing is stranded, no invariant is violated, and no report is
wrong. `befall` checks this in every test; each test adds what is special about its fault.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from tests.support.promises import broken_promises
from tests.support.story import Ending, Played, Story, play

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, VARIANT, row

HOSTS = 4
FIRST = 3
"""The position of the host that a run takes first if all are healthy."""

NEXT = "1.54.0"
OLDER = "1.51.0"

USUAL_MINUTES = 3
"""A host that is drained and rebooted without problems is back within this time."""


@dataclass(frozen=True, slots=True)
class Town:
    """The result for the cluster."""

    played: Played
    sick: InstanceId

    @property
    def runs(self) -> list[Ending]:
        """The runs, each an hour after the end of the previous one."""
        return [ending for ending in self.played.endings if not ending.rival]

    @property
    def fates(self) -> list[str]:
        """The code that each run reports for the host with the fault."""
        return [word(ending, self.sick) for ending in self.runs]

    @property
    def exits(self) -> list[int | None]:
        """The exit code of each run."""
        return [ending.exit_code for ending in self.runs]

    @property
    def boots(self) -> int:
        """How often the host with the fault booted."""
        return self.played.findings.boots[self.sick]

    @property
    def minutes_out(self) -> float:
        """How long the host with the fault was out of service, in and between all runs."""
        return self.played.findings.seconds_out[self.sick] / 60

    @property
    def version(self) -> str:
        """The version that the host with the fault runs at the end."""
        return self.played.findings.versions[self.sick]

    @property
    def others(self) -> list[InstanceId]:
        """The healthy hosts."""
        ids = [InstanceId(member.host.instance_id) for member in self.played.story.scenario.members]
        return [id_ for id_ in ids if id_ != self.sick]

    def of_the_others(self, run: int = 0) -> set[str]:
        """The codes that a run reports for the healthy hosts."""
        return {word(self.runs[run], id_) for id_ in self.others}

    def updated_the_others(self, run: int = 0) -> bool:
        """Whether that run updated every healthy host to the new version, with one boot each."""
        findings = self.played.findings
        there = all(findings.versions[id_] == NEW and findings.boots[id_] == 1 for id_ in self.others)
        return there and self.of_the_others(run) == {"updated"}

    @property
    def minutes_out_of_the_others(self) -> float:
        """The longest time that a healthy host was out of service."""
        return max(self.played.findings.seconds_out[id_] for id_ in self.others) / 60

    def took(self, run: int = 0) -> timedelta:
        """How long a run took."""
        return self.runs[run].ended - self.runs[run].began

    def sent(self, kind: str, run: int = 0) -> int:
        """How many commands of a kind a run sent to the host with the fault."""
        events = self.runs[run].events
        return sum(
            event.name == "command.sent" and (event.instance, event.kind.value) == (self.sick, kind)  # type: ignore[attr-defined]
            for event in events
        )

    def words(self, run: int = 0) -> str:
        """The text that people read about the host with the fault."""
        finished = self.runs[run].finished
        outcome = finished.outcomes[self.sick] if finished is not None else None
        return str(outcome.why if isinstance(outcome, Quarantined) else outcome)


def befall(
    *faults: Fault,
    world: tuple[Fault, ...] = (),
    hosts: int = HOSTS,
    budget: int = 1,
    releases: tuple[Release, ...] = (Release(NEW, VARIANT), Release(OLD, VARIANT)),
    seed_of_sick: int | None = None,
    runs_max: int = 8,
    quiet: bool = True,
    plain_reboots: bool = False,
) -> Town:
    """Apply these faults to the first host, and `world` to the whole world; run until nothing changes any more."""
    story = _story(faults, world, hosts, budget, releases, seed_of_sick, runs_max)
    town = _told(replace(story, plain_reboots=plain_reboots))
    broken = broken_promises(town.played)
    if not quiet:
        broken = [text for text in broken if not text.startswith("every_run_ends")]
    assert broken == []
    assert town.played.findings.clean
    assert town.played.quiet == quiet
    assert town.played.findings.most_out_at_once <= budget + _down_by_others(faults)
    return town


def _story(
    faults: tuple[Fault, ...],
    world: tuple[Fault, ...],
    hosts: int,
    budget: int,
    releases: tuple[Release, ...],
    seed_of_sick: int | None,
    runs_max: int,
) -> Story:
    scenario = row(hosts)
    sick = scenario.members[_first(hosts)]
    if seed_of_sick is not None:
        late = replace(sick, host=replace(sick.host, seed=seed_of_sick))
        scenario = replace(scenario, members=tuple(late if one is sick else one for one in scenario.members))
    name = sick.host.instance_id
    plan = FaultPlan((*(Placed(fault, name) for fault in faults), *map(Placed, world)))
    scenario = replace(scenario, faults=plan, releases=releases)
    policy = Policy(max_unavailable=Limit(number=budget))
    return Story(scenario, policy, spacing=timedelta(hours=1), runs_max=runs_max)


def _told(story: Story) -> Town:
    hosts = len(story.scenario.members)
    return Town(play(story), InstanceId(story.scenario.members[_first(hosts)].host.instance_id))


def _first(hosts: int) -> int:
    return FIRST if hosts == HOSTS else 0


def _down_by_others(faults: tuple[Fault, ...]) -> int:
    """One more instance may be out if a person or another fault takes it out, besides the updater's own drains."""
    names = {type(fault).__name__ for fault in faults}
    others = {"OutOfBand", "InstanceTerminated", "SomebodySets", "ApplyKilled", "GroupTakes", "InstanceStopped"}
    return int(bool(names & {*others, "GroupKeepsWarm", "InBetween", "SpotInterrupted", "Deregistered"}))


def word(ending: Ending, id_: InstanceId) -> str:
    """The outcome of an instance in a run, as one word."""
    if ending.finished is None:
        return "died"
    outcome = ending.finished.outcomes.get(id_)
    return _code(outcome) if outcome is not None else "not mentioned"


def _code(outcome: Outcome) -> str:
    match outcome:
        case Updated():
            return "updated"
        case UpToDate():
            return "up-to-date"
        case Hold(reason=reason):
            return reason.code
        case Failed(failure=failure):
            return failure.code
        case Quarantined(why=why):
            return f"quarantined:{why.failure.code}"
        case _:
            assert_never(outcome)
