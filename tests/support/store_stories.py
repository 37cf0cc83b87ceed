"""Scenarios with a faulty state store: it is down, rejects writes, loses replies, or holds unreadable objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from tests.support.invented import Chooser, deaths, quiet_story, rivals, seconds, story_of_faults
from tests.support.memory_store import MemoryStore
from tests.support.story import CLUSTER, Harm, Harmed, Nap, Story

from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY, Acts, change_acts, with_block, with_pause
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import NEW

GARBAGE: tuple[bytes, ...] = (
    b"",
    b"oops",
    b"[]",
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"format": 99, "claims": {}, "backoffs": {}}',
    b'{"since": "0001-01-01T00:00:00+14:00", "who": 1, "why": []}',
    b'{"first_seen": NaN}',
    b'{"holder": {}, "epoch": "x", "term_seconds": 1e400, "released": 1}',
)


def _acts(step: Callable[[Acts], Acts]) -> bytes:
    store = MemoryStore()
    change_acts(store, step)
    stored = store.get(ACTS_KEY)
    assert stored is not None
    return stored.data


_ACT = Act("ann", datetime(2026, 1, 1, tzinfo=UTC))

BLOCK = _acts(partial(with_block, version=Version.parse(NEW), act=_ACT))
"""A person blocks the version that all hosts would get."""

PAUSE = _acts(partial(with_pause, cluster=CLUSTER, act=_ACT))
"""A person pauses the updates."""


def story_of_the_store(choose: Chooser) -> Story:
    """The store fails in every way; hosts and people may cause faults, and updaters may die and overlap."""
    story = story_of_faults(choose) if choose.happens(40) else quiet_story(choose)
    timing = story.scenario.ecs_timing
    trouble = [Placed(_trouble(choose)) for _ in range(choose.number(1, 3))]
    # The second of two faults of one object would restore the first.
    harms = tuple({one.what: one for one in (_harm(choose) for _ in range(choose.one_of((0, 0, 1, 2))))}.values())
    others = (*deaths(choose, 2), *rivals(choose)) if choose.happens(40) else ()
    naps = (Nap(choose.number(0, 2), choose.number(1, 60), seconds(choose.number(1, 600)), choose.happens(50)),)
    # If attributes do not survive a boot, an unreadable ledger is the only copy of a claim.
    blind = any(one.what is Harmed.LEDGER for one in harms)
    timing = replace(timing, attributes_survive=True) if blind else timing
    plan = FaultPlan((*story.scenario.faults.faults, *trouble, *others), story.scenario.seed)
    return replace(
        story,
        scenario=replace(story.scenario, story="the state store fails", faults=plan, ecs_timing=timing),
        right="store",
        harms=harms,
        naps=naps if choose.happens(20) else (),
        # Until somebody restores the ledger, every run ends immediately with its error.
        spacing=seconds(600 if blind else choose.one_of((70, 5, 600))),
    )


def _trouble(choose: Chooser) -> Fault:
    at, lasts = seconds(choose.number(0, 900)), seconds(choose.one_of((5, 20, 45, 90, 180, 400)))
    options: tuple[Fault, ...] = (
        f.StoreOutage(at, lasts),
        f.StoreOutage(at, lasts, writes_only=True),
        f.StoreOutage(at, lasts, caller=choose.one_of(("run-0", "run-1"))),
        f.ApiFails(
            "ConditionalRequestConflict", 409, operation="PutObject", every=choose.number(1, 4), at=at, lasts=lasts
        ),
        f.ApiFails("ServiceUnavailable", 503, operation="PutObject", every=choose.number(2, 5)),
        f.ApiFails("SlowDown", 503, operation="GetObject", every=choose.number(2, 5), at=at, lasts=lasts),
        f.RepliesLost("PutObject", every=choose.number(1, 4), times=choose.number(1, 8)),
    )
    return choose.one_of(options)


def _harm(choose: Chooser) -> Harm:
    what = choose.one_of([Harmed.ACTS, *Harmed])
    data = choose.one_of((BLOCK, PAUSE)) if what is Harmed.ACTS and choose.happens(70) else choose.one_of(GARBAGE)
    return Harm(what, data, seconds(choose.number(30, 1200)), seconds(choose.number(30, 1500)))
