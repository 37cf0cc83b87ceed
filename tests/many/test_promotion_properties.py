"""Promotion over generated histories: never too early, never by a lost, unreadable or silent standing; a block wins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.core.builders import available, fleet, idle, instance, ready, registration, service, staged
from tests.report.strategies import VERSIONS
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.model.command import Apply, Mark
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.services import Services
from bottlerocket_ecs_updater.core.model.shared import (
    Act,
    ClusterStanding,
    Expedite,
    LastRun,
    Promotion,
    Shared,
    VersionActs,
    circle_of,
)
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.cluster_standing import Seen, standing_of
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.promotion import (
    CLUSTER_CLOCKS_APART,
    Requirement,
    StageRules,
    block_on,
    not_promoted,
)
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable
from bottlerocket_ecs_updater.engine.store.shared_state import (
    SharedState,
    change_acts,
    publish,
    read_standing,
    standing_key,
    with_forgotten,
    write_standing,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
OLD, NEW, NEWER = (Version.parse(text) for text in ("1.20.0", "1.21.0", "1.22.0"))
HOUR = timedelta(hours=1)
SOAK = timedelta(hours=24)
RULES = StageRules("production", (Requirement("staging", SOAK),), silent_after=timedelta(hours=72))
HOST = registration(registered_at=START - timedelta(days=9))


@dataclass(frozen=True)
class Look:
    """What one run of a cluster saw: the hour, the versions of its instances, and whether everything was healthy."""

    hour: int
    running: tuple[Version, ...]
    well: bool = True


def history(draw: st.DrawFn) -> list[Look]:
    """Usually a healthy cluster on the version, sometimes not; usually with frequent runs, sometimes not."""
    version = st.sampled_from([NEW, NEW, NEW, NEW, NEWER, OLD])
    hour, looks = 0, []
    for _ in range(draw(st.integers(1, 8))):
        hour += draw(st.sampled_from([1, 2, 6, 12, 12, 24, 30, 80]))
        running = draw(st.lists(version, min_size=0 if draw(st.integers(0, 9)) == 0 else 1, max_size=2).map(tuple))
        looks.append(Look(hour, running, draw(st.sampled_from([True, True, True, True, False]))))
    return looks


HISTORIES = st.composite(history)()


def place(number: int) -> Location:
    return Location("111122223333", "us-east-1", f"c{number}")


STAGING = Policy(rules=Rules(stages=StageRules("staging")))
PRODUCTION = Policy(rules=Rules(stages=RULES))
RUN = LastRun("r", "ok", 0, START)


def standing(looks: list[Look], number: int = 0, skew: timedelta = timedelta()) -> ClusterStanding:
    """The standings that a cluster with that history publishes, run after run."""
    published: ClusterStanding | None = None
    for look in looks:
        at = START + look.hour * HOUR + skew
        hosts = [instance(f"i-{n}", idle(one), registered=HOST) for n, one in enumerate(look.running)]
        seen = fleet(*hosts, at=at, services=Services((service(running=3 if look.well else 2),), at))
        published = standing_of(Seen(place(number), seen, {}, LastRun("r", "ok", 0, at)), STAGING, published)
    assert published is not None
    return published


def proven(looks: list[Look], version: Version, now: datetime) -> bool:
    """Computed independently: for at least a day, every look found the whole cluster on the version, and healthy."""
    began, before = None, None
    for look in looks:
        at = START + look.hour * HOUR
        if before is not None and at - before > RULES.silent_after:
            began = None
        before = at
        if not look.well or (look.running and min(look.running) < version):
            began = None
        elif look.running and began is None:
            began = at
    assert before is not None
    silent = now - before > RULES.silent_after
    return bool(looks[-1].running) and began is not None and not silent and now - began >= SOAK


@settings(max_examples=400)
@given(st.lists(HISTORIES, min_size=1, max_size=2), st.integers(0, 100), st.sampled_from([NEW, NEW, NEWER]))
def test_a_version_is_never_promoted_before_every_cluster_was_healthy_on_it_long_enough(
    histories: list[list[Look]], later: int, version: Version
) -> None:
    now = START + max(looks[-1].hour for looks in histories) * HOUR + later * HOUR / 4
    shared = Shared(standings=tuple(standing(looks, number) for number, looks in enumerate(histories)))
    if not_promoted(version, RULES, shared, now) is None:
        assert all(proven(looks, version, now) for looks in histories)


@given(st.lists(HISTORIES, min_size=1, max_size=3), st.integers(0, 300))
def test_a_version_on_which_every_cluster_is_healthy_is_promoted_minutes_later(
    histories: list[list[Look]], later: int
) -> None:
    now = START + max(looks[-1].hour for looks in histories) * HOUR + later * HOUR / 4
    shared = Shared(standings=tuple(standing(looks, number) for number, looks in enumerate(histories)))
    if all(proven(looks, NEW, now) and proven(looks, NEW, now + CLUSTER_CLOCKS_APART) for looks in histories):
        assert not_promoted(NEW, RULES, shared, now + CLUSTER_CLOCKS_APART) is None


TWO_STAGES = replace(RULES, promoted_by=(*RULES.promoted_by, Requirement("canary", SOAK)))


@given(HISTORIES, HISTORIES, st.integers(0, 300))
@example([Look(0, (NEW,)), Look(30, (NEW,))], [Look(30, (OLD,))], 0)
def test_all_stages_must_have_finished(staging: list[Look], canary: list[Look], later: int) -> None:
    now = START + max(staging[-1].hour, canary[-1].hour) * HOUR + later * HOUR / 4
    first, second = standing(staging, 0), replace(standing(canary, 1), stage="canary")
    each = [not_promoted(NEW, RULES, Shared(standings=(first,)), now)]
    each += [not_promoted(NEW, RULES, Shared(standings=(replace(second, stage="staging"),)), now)]
    both = not_promoted(NEW, TWO_STAGES, Shared(standings=(first, second)), now)
    assert (both is None) == (each == [None, None])


PROVEN_AT_MIDNIGHT = [Look(0, (NEW,)), Look(20, (NEW,))]


@given(st.integers(-300, 300), st.integers(-900, 900))
def test_a_clock_that_is_minutes_off_never_promotes_too_early_and_hardly_too_late(skew: int, later: int) -> None:
    """Close to the exact time, to the second."""
    shared = Shared(standings=(standing(PROVEN_AT_MIDNIGHT, skew=timedelta(seconds=skew)),))
    admitted = not_promoted(NEW, RULES, shared, START + SOAK + timedelta(seconds=later)) is None
    assert admitted == (later >= skew + CLUSTER_CLOCKS_APART.total_seconds())
    assert later >= 0 or not admitted


@given(st.lists(HISTORIES, min_size=1, max_size=3), st.integers(0, 300), st.sampled_from(["garbled", "lost", "none"]))
def test_a_lost_or_unreadable_standing_never_promotes(histories: list[list[Look]], later: int, what: str) -> None:
    now = START + max(looks[-1].hour for looks in histories) * HOUR + later * HOUR / 4
    rest = tuple(standing(looks, number) for number, looks in enumerate(histories))[1:]
    shared = {
        "garbled": Shared(standings=rest, unreadable=("fleet/clusters/a/b/c/standing.json",)),
        "lost": Shared(standings=rest, lost=(place(0),)),
        "none": Shared(),
    }[what]
    assert not_promoted(NEW, RULES, shared, now) is not None


@given(st.lists(HISTORIES, min_size=1, max_size=3), st.integers(0, 300))
def test_the_time_that_is_named_is_never_too_late(histories: list[list[Look]], later: int) -> None:
    """If nothing else goes wrong, no version passes before the time that a hold names, and none is held after it."""
    now = START + max(looks[-1].hour for looks in histories) * HOUR + later * HOUR / 4
    shared = Shared(standings=tuple(standing(looks, number) for number, looks in enumerate(histories)))
    why = not_promoted(NEW, RULES, shared, now)
    if why is not None:
        until = datetime.strptime(dict(why.facts)["until"], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
        assert until >= now - timedelta(minutes=1)
        soon = [now + (until - now) * part / 10 for part in range(10)]
        assert all(not_promoted(NEW, RULES, shared, at) is not None for at in soon if at < until)


@given(st.booleans(), st.booleans())
def test_a_block_wins_over_every_other_act(promoted: bool, expedited: bool) -> None:
    acts = VersionActs(
        {NEW: Act("ann", START)},
        {NEW: Promotion("bob", START)} if promoted else {},
        {NEW: Expedite("eve", START)} if expedited else {},
    )
    assert block_on(NEW, acts) is not None
    assert block_on(NEWER, acts) is None


STANDINGS = st.builds(
    ClusterStanding,
    st.just(place(0)),
    st.sampled_from(["", "staging"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    st.builds(LastRun, st.text(max_size=9), st.text(max_size=9), st.integers(0, 4), st.just(START)),
    running=st.dictionaries(VERSIONS, st.integers(1, 9), max_size=3),
    since=st.dictionaries(VERSIONS, st.just(START), max_size=3),
    trouble=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    behind_since=st.none() | st.just(START),
    newest=st.none() | VERSIONS,
    peers=st.just((place(1), place(2))),
)


@given(STANDINGS)
def test_a_standing_reads_as_it_was_written(one: ClusterStanding) -> None:
    assert read_standing(write_standing(one), one.place) == one


@given(STANDINGS, st.data())
def test_a_standing_that_was_cut_or_changed_is_refused_or_still_a_standing_of_that_cluster(
    one: ClusterStanding, data: st.DataObject
) -> None:
    written = write_standing(one)
    at = data.draw(st.integers(0, len(written) - 1))
    harmed = data.draw(st.sampled_from([written[:at], written[:at] + b"\xff" + written[at + 1 :], b""]))
    with pytest.raises(Unreadable):
        read_standing(harmed, one.place)
    with pytest.raises(Unreadable):
        read_standing(written, place(5))


def waits(stage: str, *on: str, number: int = 0) -> ClusterStanding:
    return replace(standing([Look(0, (NEW,))], number), stage=stage, waits_for=on)


def test_stages_in_a_circle_of_any_length_are_found() -> None:
    chain = [waits("a", "b"), waits("b", "c"), waits("c", "d"), waits("e", "a")]
    assert circle_of("d", ("e",), chain) == ("d", "e", "a", "b", "c", "d")
    assert circle_of("d", ("c",), [waits("c", "x")]) == ()
    assert circle_of("", ("a",), chain) == ()
    assert circle_of("z", ("a",), [*chain, waits("d", "a")]) == ()


@pytest.mark.parametrize("promoted_by", [("production for 1d",), ("staging for 1d", "staging for 2d")])
def test_invalid_stage_rules_are_rejected(promoted_by: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"waits for itself|named twice"):
        StageRules("production", tuple(map(Requirement.parse, promoted_by)))


@pytest.mark.parametrize("text", ["", "staging", "staging for", "staging for ever", "a b for 1d", "staging for 400d"])
def test_a_requirement_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|longer than"):
        Requirement.parse(text)


# In decisions


def acts_about(version: Version, draw: st.DrawFn) -> VersionActs:
    """Any acts of people, with a block of the version among them."""
    some = draw(st.sets(st.sampled_from(["promoted", "expedited", "other"])))
    block, open_ = Act("ann", START), Expedite("eve", START, "", windows=True, freezes=True)
    return VersionActs(
        {version: block, **({OLD: block} if "other" in some else {})},
        {version: Promotion("bob", START)} if "promoted" in some else {},
        {version: open_} if "expedited" in some else {},
    )


HOSTS = st.lists(st.sampled_from([available(NEW), ready(NEW), staged(NEW), available(NEWER), idle(OLD)]), max_size=4)


@given(HOSTS, st.composite(lambda draw: acts_about(NEW, draw))(), st.sampled_from([StageRules(), RULES]))
def test_no_host_gets_a_blocked_version_under_any_other_rule(
    reports: list[HostReport], acts: VersionActs, stages: StageRules
) -> None:
    hosts = [instance(f"i-{number}", report) for number, report in enumerate(reports)]
    policy = Policy(max_unavailable=Limit(number=9), rules=Rules(stages=stages))
    begun = {one.instance for one in decide(fleet(*hosts, shared=Shared(acts)), policy).commands if _begins(one)}
    assert not {one.id for one in hosts if _target(one) == NEW} & begun
    unblocked = replace(acts, blocked={}, promoted={NEW: Promotion("bob", START)})
    if any(_target(one) == NEW for one in hosts):
        assert [one for one in decide(fleet(*hosts, shared=Shared(unblocked)), policy).commands if _begins(one)]


@given(HOSTS, st.sampled_from(["garbled", "lost", "none"]))
def test_no_host_gets_a_version_that_the_stages_have_not_promoted(reports: list[HostReport], what: str) -> None:
    hosts = [instance(f"i-{number}", report) for number, report in enumerate(reports)]
    well = standing([Look(0, (NEWER,)), Look(200, (NEWER,))], 1)
    shared = {
        "garbled": Shared(standings=(well,), unreadable=("fleet/clusters/a/b/c/standing.json",)),
        "lost": Shared(standings=(well,), lost=(place(0),)),
        "none": Shared(),
    }
    now = well.looked_at + HOUR
    policy = Policy(rules=Rules(stages=RULES))
    assert not [one for one in decide(fleet(*hosts, at=now, shared=shared[what]), policy).commands if _begins(one)]


def _begins(command: object) -> bool:
    return isinstance(command, Apply | Mark)


def _target(one: Instance) -> Version | None:
    report = one.check_answer.report if one.check_answer is not None else None
    return report.target if report is not None else None


def test_a_run_that_seems_to_be_the_first_finds_the_standing_all_the_same() -> None:
    store, seen = MemoryStore(), Seen(Location("222233334444", "eu-west-1", "shop"), fleet(at=START), {}, RUN)
    first, none = publish(store, seen, PRODUCTION, first=True)
    assert none is None
    assert publish(store, seen, PRODUCTION, first=True)[1] == first


# Clusters that come and go

FATES = st.sampled_from(["proven", "behind", "garbled", "lost", "forgotten", "silent"])


@given(st.lists(FATES, min_size=1, max_size=5))
def test_a_cluster_that_lost_its_standing_delays_promotion_until_a_person_removes_it(fates: list[str]) -> None:
    store, shop = MemoryStore(), Location("222233334444", "eu-west-1", "shop")
    now = START + 100 * HOUR
    for number in range(len(fates)):
        one = standing([Look(50, (NEW,)), Look(99, (NEW,))], number)
        store.put(standing_key(one.place), write_standing(one), None)
    publish(
        store,
        Seen(shop, fleet(at=now, shared=SharedState(store, str(shop), shop, RULES).look(now)), {}, RUN),
        PRODUCTION,
    )
    for number, fate in enumerate(fates):
        key = standing_key(place(number))
        if fate in ("lost", "forgotten"):
            store.delete(key, None)
        if fate == "forgotten":
            change_acts(store, partial(with_forgotten, place=place(number), act=Act("ann", now)))
        looks = {"behind": [Look(99, (OLD,))], "silent": [Look(1, (NEW,)), Look(25, (NEW,))]}.get(fate)
        if looks:
            store.put(key, write_standing(standing(looks, number)), None)
        if fate == "garbled":
            store.put(key, b"{", None)
    held = not_promoted(NEW, RULES, SharedState(store, str(shop), shop, RULES).look(now), now)
    assert (held is None) == ({"proven"} <= set(fates) <= {"proven", "forgotten"})


@given(st.integers(-150, 150), st.integers(-150, 150), st.integers(-900, -1))
def test_two_clocks_that_are_both_off_never_admit_before_the_time(theirs: int, ours: int, early: int) -> None:
    shared = Shared(standings=(standing(PROVEN_AT_MIDNIGHT, skew=timedelta(seconds=theirs)),))
    now = START + SOAK + timedelta(seconds=early)
    assert not_promoted(NEW, RULES, shared, now + timedelta(seconds=ours)) is not None


STAGES = "abcde"


@given(st.dictionaries(st.sampled_from(STAGES), st.sets(st.sampled_from(STAGES), max_size=3), max_size=5))
def test_stages_that_wait_for_each_other_are_found_in_every_graph_and_only_there(waits_: dict[str, set[str]]) -> None:
    reached = {stage: set(waits_.get(stage, ())) for stage in STAGES}
    for _ in STAGES:
        reached = {stage: on | {more for one in on for more in reached[one]} for stage, on in reached.items()}
    others = [waits(stage, *on, number=number) for number, (stage, on) in enumerate(waits_.items())]
    for home in STAGES:
        circle = circle_of(home, sorted(waits_.get(home, ())), others)
        assert bool(circle) == (home in reached[home])
        assert all(later in waits_[one] for one, later in pairwise(circle))


def test_an_instance_that_did_not_report_its_version_blocks_promotion() -> None:
    at = START + SOAK + HOUR
    silent = instance("i-1", None, registered=HOST)
    hosts = [instance("i-0", idle(NEW), registered=HOST), silent]
    seen = Seen(place(0), fleet(*hosts, at=at, services=Services((), at)), {}, LastRun("r", "ok", 0, at))
    one = standing_of(seen, STAGING, standing([Look(0, (NEW, NEW))]))
    why = not_promoted(NEW, RULES, Shared(standings=(one,)), at)
    assert why is not None
    assert "has 1 of 2 instances that have not reported their version" in str(why)
