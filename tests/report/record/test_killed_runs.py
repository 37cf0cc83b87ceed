"""The next run completes the record of a killed run, so its report names every instance that it took out of service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import Tape, Updater, at_most, row

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.event import Claimed, ClaimFound, ClusterLooked, Event, RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, count_kinds
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import ABSENT
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.report.outputs.archive import Archive, report_key
from bottlerocket_ecs_updater.report.record.codec import encode
from bottlerocket_ecs_updater.report.record.record import Record, complete_records, read_record, record_folder
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DEAD = RunId("20260105-0900-dead")
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
BEGAN = RunStarted(START, DEAD, "demo", "test")
ENDED = RunFinished(START, DEAD, RunOutcome.OK, 0, count_kinds({}), timedelta(), "", {}, {}, 0)


def found(number: int, seconds: float = 60) -> ClaimFound:
    id_ = InstanceId(f"i-{number:017x}")
    since = START + timedelta(seconds=seconds)
    return ClaimFound(START + timedelta(hours=1), id_, ClaimPhase.DRAINING.value, DEAD, since, OLD, NEW)


def claimed(one: ClaimFound, at: datetime | None = None) -> Claimed:
    return Claimed(at or one.since, one.instance, OLD, NEW, downgrade=False)


def store_with(*events: Event) -> MemoryStore:
    store = MemoryStore()
    lines = b"".join(encode(event).encode() + b"\n" for event in events)
    store.put(f"{record_folder('demo', DEAD)}/events-001.jsonl", lines, ABSENT)
    return store


def recorded(store: MemoryStore) -> Sequence[Event]:
    return read_record(store, "demo", DEAD).events


def test_claims_that_a_killed_run_could_not_record_are_added_to_its_record() -> None:
    store = store_with(BEGAN, claimed(found(1)))
    complete_records(store, "demo", [found(1), found(2), found(3)])
    assert recorded(store) == (BEGAN, claimed(found(1)), claimed(found(2)), claimed(found(3)))


def test_nothing_is_added_twice() -> None:
    store = store_with(BEGAN)
    for _ in range(2):
        complete_records(store, "demo", [found(1), found(2)])
    assert recorded(store) == (BEGAN, claimed(found(1)), claimed(found(2)))


def test_an_added_claim_is_not_older_than_what_was_recorded() -> None:
    looked = ClusterLooked(START + timedelta(seconds=90), 3, 3, 2)
    store = store_with(BEGAN, looked)
    complete_records(store, "demo", [found(1, seconds=60)])
    assert recorded(store)[-1] == claimed(found(1), looked.at)


@pytest.mark.parametrize("events", [(BEGAN, ENDED), ()])
def test_a_record_that_has_an_end_or_no_events_stays_as_it_is(events: Sequence[Event]) -> None:
    store = store_with(*events)
    complete_records(store, "demo", [found(1)])
    assert recorded(store) == tuple(events)


def test_a_run_without_a_record_gets_none() -> None:
    store = MemoryStore()
    complete_records(store, "demo", [found(1)])
    assert list(store.keys("")) == []


def test_a_claim_without_versions_adds_nothing() -> None:
    store = store_with(BEGAN)
    complete_records(store, "demo", [replace(found(1), source=None, target=None)])
    assert recorded(store) == (BEGAN,)


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Outputs(Tape):
    """The record and the reports of a run, next to its events."""

    def __init__(self, store: MemoryStore, run: str) -> None:
        super().__init__()
        self.written = Record(store, "demo", RunId(run))
        self.archive = Archive(store, "demo", RunId(run), lambda _: None)

    def record(self, event: Event) -> None:
        super().record(event)
        self.written.record(event)
        self.archive.record(event)


@pytest.mark.parametrize("drains", [1, 2, 3])
def test_the_report_of_a_killed_run_names_every_instance_that_it_drained(drains: int) -> None:
    world, store = row(6, budget=2), MemoryStore()
    drained: list[str] = []

    def authorize(call: Call) -> None:
        if call.caller == DEAD and len(drained) >= drains:
            raise Killed
        if call.operation == "UpdateContainerInstancesState" and call.params["status"] == "DRAINING":
            drained.extend(call.params["containerInstances"])

    def run(name: str) -> None:
        outputs = Outputs(store, name)

        def before_call(acting: bool) -> None:
            outputs.written.tick(world.clock.now())
            if acting:
                outputs.written.secure()

        ledger = KeptLedger(store, "demo", RunId(name))
        Updater(
            world, at_most(2), name, ledger=ledger, store=store, tape=outputs, before_call=before_call, state="demo"
        ).run()

    world.authorize = authorize
    with pytest.raises(Killed):
        run(DEAD)
    arns = set(drained)
    out = {name for name in world.hosts if world.instance(name).status is InstanceStatus.DRAINING}
    run("20260105-1000-next")
    names = {name for name in world.hosts if world.instance(name).arn in arns}
    assert len(names) >= drains
    assert names <= {event.instance for event in recorded(store) if isinstance(event, Claimed)}
    report = store.get(report_key("demo", DEAD, "html"))
    assert report is not None
    assert out
    assert all(name in report.data.decode() for name in out)


def test_if_the_store_fails_only_the_completion_is_missing() -> None:
    class Failing(MemoryStore):
        def keys(self, prefix: str, after: str = "") -> Iterable[str]:
            if str(DEAD) in prefix:
                raise Unreachable(prefix)
            return super().keys(prefix, after)

    store, run = Failing(), RunId("20260105-1000-next")
    archive = Archive(store, "demo", run, lambda _: None)
    for event in (RunStarted(START, run, "demo", "test"), found(1), replace(ENDED, run=run)):
        archive.record(event)
    assert store.get(report_key("demo", run, "html")) is not None
