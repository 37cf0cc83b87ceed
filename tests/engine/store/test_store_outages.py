"""An outage of the state store ends no run and strands no host, unless it is long or another run took the lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.promises import broken_promises
from tests.support.simulated import NEW, EngineClock, Tape, Updater, row
from tests.support.story import Ending, Played, Story, play

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Event,
    HostChecked,
    LookPostponed,
    Returned,
    RunFinished,
    RunHalted,
)
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import FLUSH_TRIES, KeptLedger
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed, SecondUpdater, StoreOutage
from bottlerocket_ecs_updater.simulator.scenarios import row as scenario_row
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

MINUTE = timedelta(minutes=1)


def played_with(*faults: StoreOutage | ApiFails | SecondUpdater, policy: Policy | None = None, runs: int = 1) -> Played:
    """Three instances with a service, and faults."""
    plan = FaultPlan(tuple(map(Placed, faults)))
    scenario = replace(scenario_row(3, services=(ServiceSpec("web", 3),)), faults=plan)
    return play(Story(scenario, policy or Policy(), runs_max=runs))


def went_well(played: Played) -> bool:
    (ending,) = [one for one in played.endings if not one.rival]
    return ending.finished is not None and (ending.exit_code, ending.finished.counts["updated"]) == (0, 3)


def out_of_service(played: Played) -> list[str]:
    names = [member.host.instance_id for member in played.story.scenario.members]
    return [name for name in names if played.world.instance(name).status is not InstanceStatus.ACTIVE]


@pytest.mark.parametrize("lasts", [timedelta(seconds=16), timedelta(seconds=45), timedelta(seconds=180)], ids=str)
@pytest.mark.parametrize("writes_only", [True, False], ids=["writes", "all"])
def test_an_outage_of_minutes_ends_no_run_whenever_it_comes(*, lasts: timedelta, writes_only: bool) -> None:
    for begins in (40, 55, *range(60, 600, 43)):
        outage = StoreOutage(at=timedelta(seconds=begins), lasts=lasts, writes_only=writes_only)
        played = played_with(outage)
        assert went_well(played), (begins, played.last.finished)
        assert out_of_service(played) == []
        assert played.findings.violations == ()


def test_every_nth_write_is_refused_for_another_one_and_no_run_notices() -> None:
    for nth in range(1, 40):
        played = played_with(ApiFails("ConditionalRequestConflict", 409, operation="PutObject", every=nth, times=1))
        assert went_well(played), (nth, played.last.finished)
        assert not [event for event in played.last.events if isinstance(event, LookPostponed)]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_writes_that_overlap_for_a_minute_end_no_run(every: int) -> None:
    for begins in range(65, 600, 97):
        at = timedelta(seconds=begins)
        played = played_with(
            ApiFails("ConditionalRequestConflict", 409, operation="PutObject", every=every, at=at, lasts=MINUTE)
        )
        assert went_well(played), (begins, played.last.finished)


def test_while_the_lease_has_lapsed_nothing_is_done() -> None:
    played = played_with(StoreOutage(at=timedelta(seconds=200), lasts=3 * MINUTE))
    (postponed, *_) = [event for event in played.last.events if isinstance(event, LookPostponed)]
    ended = played.last.began + timedelta(seconds=140) + 3 * MINUTE
    during = [event for event in played.last.events if postponed.at < event.at < ended]
    assert [event for event in during if not isinstance(event, LookPostponed)] == []


def test_a_run_whose_lease_a_rival_took_meanwhile_ends_and_the_rival_finishes() -> None:
    """Only the first run has the outage: its network is down, the rival's is not."""
    for begins in range(100, 400, 61):
        cut = StoreOutage(at=timedelta(seconds=begins), lasts=4 * MINUTE, caller="run-0")
        played = played_with(cut, SecondUpdater(timedelta(seconds=begins + 30)), runs=3)
        first, rival = _ending(played, "run-0"), _ending(played, "rival-0")
        assert rival.finished is not None, begins
        assert (first.exit_code, rival.exit_code) == (1, 0)
        assert first.finished is not None
        assert "rival-0 holds it" in first.finished.why
        assert broken_promises(played) == []


def _ending(played: Played, name: str) -> Ending:
    return next(ending for ending in played.endings if ending.run == name)


def test_an_outage_that_outlasts_a_drain_ends_the_run_with_an_error_that_says_so() -> None:
    policy = Policy(drain_timeout=5 * MINUTE)
    played = played_with(StoreOutage(at=timedelta(seconds=200), lasts=60 * MINUTE), policy=policy)
    finished = played.last.finished
    assert finished is not None
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert "could not be renewed" in finished.why
    assert "5m" in finished.why
    assert played.last.ended - played.last.began < 15 * MINUTE


# The ledger


class Flaky(MemoryStore):
    """A store that rejects all writes while it is down, or the next few."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.refuses = 0

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        if self.down or self.refuses:
            self.refuses = max(0, self.refuses - 1)
            raise Unreachable("503 ServiceUnavailable")
        return super().put(key, data, expect)


@dataclass
class Outage(EngineClock):
    """The world's clock. The store is down for that long from the first return on."""

    store: Flaky = field(default_factory=Flaky)
    lasts: timedelta = timedelta()
    tape: Tape = field(default_factory=Tape)

    def sleep(self, span: timedelta) -> bool:
        returned = self.tape.of(Returned)
        self.store.down = bool(returned) and self.now() - returned[0].at < self.lasts
        return super().sleep(span)


class DownAtReturn(Tape):
    """Triggers something at the first return, before anything is written about it."""

    def __init__(self, deed: Callable[[], None]) -> None:
        super().__init__()
        self._deed = deed

    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, Returned) and len(self.of(Returned)) == 1:
            self._deed()


def run_through_outage(count: int, lasts: timedelta) -> tuple[World, Flaky, Tape, RunFinished]:
    """One run over that many instances, with the store down from the first return on."""
    store, world = Flaky(), row(count, services=count - 1)
    tape = DownAtReturn(lambda: setattr(store, "down", True))
    clock = Outage(world, store, lasts, tape)
    finished = Updater(world, ledger=KeptLedger(store, "demo", RunId("run-0")), tape=tape, clock=clock).run()
    store.down = False
    return world, store, tape, finished


def claims(store: MemoryStore) -> set[ClaimPhase]:
    return {record.claim.phase for record in KeptLedger(store, "demo", RunId("x")).load().claims.values()}


def test_a_claim_that_ended_while_the_store_was_down_is_not_in_the_ledger_at_the_end() -> None:
    _, store, tape, finished = run_through_outage(1, 10 * MINUTE)
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 1)
    assert finished.at - tape.of(Returned)[0].at > 10 * MINUTE
    assert claims(store) == set()


def test_services_that_could_not_be_read_are_not_called_unsteady() -> None:
    """If the store is down for longer than services may take to settle, the run does not halt."""
    world, store, tape, finished = run_through_outage(2, 15 * MINUTE)
    assert tape.of(RunHalted) == []
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 2)
    assert set(world.findings().versions.values()) == {NEW}
    assert claims(store) == set()


def test_a_store_that_never_comes_back_ends_the_run_with_its_error() -> None:
    world, _, tape, finished = run_through_outage(2, timedelta(days=1))
    assert (finished.outcome, finished.exit_code, finished.why) == (RunOutcome.ERROR, 1, "503 ServiceUnavailable")
    assert tape.of(RunHalted) == []
    assert finished.at - tape.of(Returned)[0].at < 40 * MINUTE
    assert world.findings().stranded == ()


def test_a_run_that_ends_with_an_error_tries_again_to_record_its_returns() -> None:
    store, world = Flaky(), row(2, services=1)

    def refuse() -> None:
        store.refuses = FLUSH_TRIES
        world.authorize = denying("ecs:DescribeServices")

    ledger = KeptLedger(store, "demo", RunId("run-0"))
    finished = Updater(world, ledger=ledger, tape=DownAtReturn(refuse)).run()
    assert (finished.outcome, store.refuses) == (RunOutcome.ERROR, 0)
    assert "ecs:DescribeServices" in finished.why
    assert claims(store) == set()


def test_a_claim_that_the_store_rejected_is_not_written_later() -> None:
    """No claim was written to the instance, so a copy in the ledger would be wrong."""
    store, world = Flaky(), row(1, services=0)
    stop = Stop()

    class Refusing(Tape):
        def record(self, event: Event) -> None:
            super().record(event)
            store.down = store.down or isinstance(event, HostChecked)
            if isinstance(event, LookPostponed):
                store.down = False
                stop.request("SIGTERM")

    ledger = KeptLedger(store, "demo", RunId("run-0"))
    tape = Refusing()
    Updater(world, ledger=ledger, tape=tape, stop=stop).run()
    assert tape.of(LookPostponed)
    assert tape.of(Claimed) == []
    assert claims(store) == set()
