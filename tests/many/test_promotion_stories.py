"""Versions that move from stage to stage, in the runs of several simulated clusters that share a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.many import NEW, Cluster, Clusters, held, reasons, updated
from tests.support.rules import parse_checkpoints, parse_freezes, parse_windows
from tests.support.simulated import OLD, instance_id

from bottlerocket_ecs_updater.core.model.event import RunFinished, StandingPublished, StateUnreadable
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.shared import Act, ClusterStanding, Expedite, Promotion
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.promotion import CLUSTER_CLOCKS_APART
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule
from bottlerocket_ecs_updater.engine.store.shared_state import (
    ACTS_KEY,
    change_acts,
    forget_standing,
    standing_key,
    standings_of,
    with_block,
    with_expedite,
    with_forgotten,
    with_promotion,
)
from bottlerocket_ecs_updater.simulator.faults import BootHangs, RollsBack
from bottlerocket_ecs_updater.simulator.host import HostSpec

DAY = timedelta(days=1)
TARGET = Version.parse(NEW)


def two_stages(soak: str = "2d", **production: object) -> Clusters:
    clusters = Clusters()
    clusters.add("canary", "staging")
    clusters.add("shop", "production", [f"staging for {soak}"], **production)  # type: ignore[arg-type]
    return clusters


def an_act(clusters: Clusters) -> Act:
    return Act("ann", clusters.each["shop"].world.clock.now(), "a reason")


def test_production_gets_a_version_only_after_staging_was_healthy_on_it_long_enough() -> None:
    clusters = two_stages()
    canary, shop = clusters.each["canary"], clusters.each["shop"]
    early = shop.run()
    assert reasons(early) == {"not-promoted"}
    assert "no cluster of it has reported" in held(early)
    assert updated(canary.run()) == 3
    [published] = canary.updaters[-1].tape.of(StandingPublished)
    assert published.healthy_since is not None
    wait = 2 * DAY + CLUSTER_CLOCKS_APART
    clusters.wait(published.healthy_since + wait - timedelta(seconds=120) - clusters.now)
    assert reasons(shop.run()) == {"not-promoted"}
    canary.run()
    clusters.wait(timedelta(minutes=3))
    assert updated(shop.run()) == 3
    assert shop.versions == {NEW}
    for one in clusters.each.values():
        assert one.world.findings().violations == ()


def test_the_hold_says_what_it_waits_for_and_when_that_can_be_at_the_earliest() -> None:
    clusters = two_stages()
    clusters.each["canary"].run()
    [published] = clusters.each["canary"].updaters[-1].tape.of(StandingPublished)
    clusters.wait(timedelta(hours=1))
    said = held(clusters.each["shop"].run())
    assert published.healthy_since is not None
    earliest = published.healthy_since + 2 * DAY + CLUSTER_CLOCKS_APART
    assert f"until {earliest:%Y-%m-%d %H:%M} UTC at the earliest" in said
    assert "staging for 2d: 111122223333/us-east-1/canary has been healthy on it only since" in said


@pytest.mark.parametrize("fault", [RollsBack(), BootHangs()])
def test_a_host_that_does_not_come_through_in_staging_keeps_production_where_it_is(fault: object) -> None:
    clusters = Clusters()
    clusters.add("canary", "staging", faults={1: (fault,)})
    clusters.add("shop", "production", ["staging for 1d"])
    for _ in range(4):
        clusters.each["canary"].run()
        clusters.wait(DAY)
    finished = clusters.each["shop"].run()
    assert clusters.each["shop"].versions == {OLD}
    assert reasons(finished) == {"not-promoted"}
    assert "is not healthy" in held(finished)


def test_a_cluster_without_runs_holds_production_unless_silent_clusters_are_left_out() -> None:
    clusters = two_stages()
    clusters.add("second", "staging")
    clusters.each["canary"].run()
    clusters.each["second"].run()
    for _ in range(4):
        clusters.wait(DAY)
        clusters.each["canary"].run()
    shop = clusters.each["shop"]
    said = held(shop.run())
    assert "111122223333/us-east-1/second has been silent since" in said
    assert "canary" not in said
    stages = replace(shop.rules.stages, ignore_silent=True)
    assert updated(shop.run(replace(shop.rules, stages=stages))) == 3


def test_a_cluster_that_is_silent_is_no_proof_where_it_is_the_only_one() -> None:
    clusters = two_stages(stages={"ignore_silent": True})
    clusters.each["canary"].run()
    clusters.wait(9 * DAY)
    assert "no cluster of it has reported" in held(clusters.each["shop"].run())


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"format": 1}', b'{"format": 99}', b""])
def test_a_standing_that_cannot_be_read_promotes_nothing_and_is_reported(data: bytes) -> None:
    clusters = two_stages()
    canary, shop = clusters.each["canary"], clusters.each["shop"]
    canary.run()
    clusters.wait(2 * DAY + CLUSTER_CLOCKS_APART)
    clusters.store.put(standing_key(canary.place), data, None)
    finished = shop.run()
    assert reasons(finished) == {"not-promoted"}
    assert standing_key(canary.place) in held(finished)
    assert [event.key for event in shop.updaters[-1].tape.of(StateUnreadable)] == [standing_key(canary.place)]


def test_a_standing_that_was_lost_promotes_nothing_until_a_person_forgets_its_cluster() -> None:
    clusters = two_stages()
    second = clusters.add("second", "staging", faults={0: (RollsBack(),)})
    for one in clusters.each.values():
        one.run()
    clusters.wait(DAY)
    clusters.each["canary"].run()
    clusters.wait(DAY + CLUSTER_CLOCKS_APART)
    shop = clusters.each["shop"]
    shop.run()
    clusters.store.delete(standing_key(second.place), None)
    assert f"{second.place} has lost its standing" in held(shop.run())
    assert f"{second.place} has lost its standing" in held(shop.run())
    forget_standing(clusters.store, second.place)
    change_acts(clusters.store, lambda acts: with_forgotten(acts, second.place, an_act(clusters)))
    assert updated(shop.run()) == 3


def forgotten_cluster() -> tuple[Clusters, Cluster, Cluster]:
    """A cluster that waits for two, and one of those, which a person removed a day ago."""
    clusters = two_stages()
    second = clusters.add("second", "staging")
    for name in ("canary", "second", "shop"):
        clusters.each[name].run()
    clusters.store.delete(standing_key(second.place), None)
    change_acts(clusters.store, lambda acts: with_forgotten(acts, second.place, an_act(clusters)))
    clusters.wait(DAY)
    return clusters, clusters.each["shop"], second


def test_a_forgotten_cluster_that_came_back_and_lost_its_standing_later_is_reported() -> None:
    clusters, shop, second = forgotten_cluster()
    second.run()
    assert second.place in {one.place for one in standings_of(clusters.store)[0]}
    shop.run()
    clusters.wait(timedelta(hours=1))
    clusters.store.delete(standing_key(second.place), None)
    for _ in range(2):
        assert f"{second.place} has lost its standing" in held(shop.run())
    change_acts(clusters.store, lambda acts: with_forgotten(acts, second.place, an_act(clusters)))
    assert "lost" not in held(shop.run())


def test_a_forgotten_cluster_stays_forgotten_while_another_standing_cannot_be_read() -> None:
    clusters, shop, second = forgotten_cluster()
    clusters.store.put(standing_key(clusters.each["canary"].place), b"{", None)
    for _ in range(2):
        why = held(shop.run())
        assert "cannot be read" in why
        assert "lost" not in why
        clusters.wait(timedelta(hours=1))
    clusters.each["canary"].run()
    assert "lost" not in held(shop.run())
    assert second.place not in standing_in(clusters, shop).peers


def standing_in(clusters: Clusters, one: Cluster) -> ClusterStanding:
    [found] = [each for each in standings_of(clusters.store)[0] if each.place == one.place]
    return found


def test_a_block_in_the_middle_of_a_rollout_stops_it_and_drained_hosts_are_returned_to_service() -> None:
    clusters = Clusters()
    shop = clusters.add("shop", hosts=6)

    def block() -> None:
        change_acts(clusters.store, lambda acts: with_block(acts, TARGET, an_act(clusters)))

    shop.world.clock.after(timedelta(minutes=9), block)
    finished = shop.run()
    assert 0 < updated(finished) < 6
    assert reasons(finished) == {"blocked"}
    assert "blocked by ann since" in held(finished)
    findings = shop.world.findings()
    assert findings.violations == ()
    assert findings.stranded == ()
    change_acts(clusters.store, lambda acts: with_block(acts, TARGET, None))
    shop.run()
    assert shop.versions == {NEW}


def test_a_block_wins_over_a_promotion_and_an_expedite() -> None:
    clusters = two_stages()
    act = an_act(clusters)
    change_acts(clusters.store, lambda acts: with_promotion(acts, TARGET, Promotion(act.who, act.at)))
    change_acts(clusters.store, lambda acts: with_expedite(acts, TARGET, Expedite(act.who, act.at)))
    change_acts(clusters.store, lambda acts: with_block(acts, TARGET, act))
    assert reasons(clusters.each["shop"].run()) == {"blocked"}


def test_unreadable_acts_block_every_version() -> None:
    clusters = two_stages()
    clusters.store.put(ACTS_KEY, b"{", None)
    finished = clusters.each["canary"].run()
    assert reasons(finished) == {"blocked"}
    assert ACTS_KEY in held(finished)


@pytest.mark.parametrize(("stages", "goes"), [((), True), (("production",), True), (("other",), False)])
def test_a_person_promotes_a_version_to_all_stages_or_to_some(stages: tuple[str, ...], goes: bool) -> None:
    clusters = two_stages()
    act = an_act(clusters)
    change_acts(clusters.store, lambda acts: with_promotion(acts, TARGET, Promotion(act.who, act.at, "", stages)))
    shop = clusters.each["shop"]
    assert updated(shop.run()) == (3 if goes else 0)
    change_acts(clusters.store, lambda acts: with_promotion(acts, TARGET, None))
    assert reasons(shop.run()) == (set() if goes else {"not-promoted"})


def test_an_expedited_version_waits_for_nothing_that_only_takes_time() -> None:
    slow = Rules(
        versions=VersionRules(minimum_age=30 * DAY),
        checkpoints=Checkpoints(parse_checkpoints("1, 100%"), wait=9 * DAY),
    )
    clusters = two_stages(rules=slow)
    shop, act = clusters.each["shop"], an_act(clusters)
    assert updated(shop.run()) == 0
    change_acts(clusters.store, lambda acts: with_expedite(acts, TARGET, Expedite(act.who, act.at, "CVE")))
    assert updated(shop.run()) == 3
    assert shop.world.findings().violations == ()


@pytest.mark.parametrize(("windows", "freezes"), [(False, False), (True, False), (False, True), (True, True)])
def test_an_expedited_version_waits_for_windows_and_freezes_unless_the_person_says_otherwise(
    windows: bool,
    freezes: bool,
) -> None:
    clusters = Clusters()
    shop = clusters.add("shop")
    now = shop.world.clock.now()
    closed, frozen = f"daily {(now.hour + 12) % 24:02}:00 1h UTC", f"{now:%Y-%m-%d}..{now + DAY:%Y-%m-%d} UTC"
    for schedule, opened in (
        (Schedule(parse_windows(closed), ()), windows),
        (Schedule((), parse_freezes(frozen)), freezes),
        (Schedule(parse_windows(closed), parse_freezes(frozen)), windows and freezes),
    ):
        act = Expedite("ann", shop.world.clock.now(), "CVE", windows, freezes)
        change_acts(clusters.store, lambda acts, act=act: with_expedite(acts, TARGET, act))  # type: ignore[misc]
        left = shop.versions == {OLD}
        assert bool(updated(shop.run(Rules(schedule=schedule)))) == (opened and left)


def test_an_expedited_version_that_is_denied_is_not_taken() -> None:
    clusters = Clusters()
    shop = clusters.add("shop", rules=Rules(versions=VersionRules(deny=(VersionRange.parse(NEW),))))
    change_acts(clusters.store, lambda acts: with_expedite(acts, TARGET, Expedite("ann", shop.world.clock.now())))
    assert reasons(shop.run()) == {"version-denied"}


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(minutes=-4)])
def test_clocks_that_are_minutes_apart_let_no_version_in_before_its_time(ahead: timedelta) -> None:
    clusters = Clusters()
    canary = clusters.add("canary", "staging", ahead=ahead)
    shop = clusters.add("shop", "production", ["staging for 1d"])
    canary.run()
    done = canary.world.clock.now()
    clusters.wait(done + DAY - timedelta(seconds=120) - clusters.now)
    assert updated(shop.run()) == 0
    clusters.wait(3 * CLUSTER_CLOCKS_APART)
    assert updated(shop.run()) == 3


def test_stages_that_wait_for_each_other_are_refused_and_updates_in_progress_are_finished() -> None:
    clusters = Clusters()
    first = clusters.add("canary", "staging", ["production for 1d"])
    second = clusters.add("shop", "production", ["staging for 1d"])
    first.run()
    finished = second.run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert "production waits for staging waits for production" in finished.why
    assert second.versions == {OLD}


def test_a_host_that_joins_later_on_an_older_version_delays_production_and_does_not_start_the_wait_again() -> None:
    clusters = two_stages()
    canary, shop = clusters.each["canary"], clusters.each["shop"]
    canary.run()
    for _ in range(2):
        clusters.wait(DAY)
        canary.run()
    clusters.wait(timedelta(minutes=10))
    joined = HostSpec(instance_id(7), version=OLD)
    canary.world.add_instance(joined, "us-east-1a")
    clusters.wait(timedelta(minutes=5))
    canary.run(replace(canary.rules, schedule=Schedule((), parse_freezes("2020-01-01..2040-01-01 UTC"))))
    assert "has 1 of 4 instances on older versions" in held(shop.run())
    canary.run()
    assert updated(shop.run()) == 3


def expedited(rules: Rules, *, hosts: int = 3) -> tuple[Cluster, RunFinished]:
    """A run whose version was expedited, also through windows and freezes."""
    clusters = Clusters()
    shop = clusters.add("shop", hosts=hosts, rules=rules)
    act = Expedite("ann", shop.world.clock.now(), "CVE", windows=True, freezes=True)
    change_acts(clusters.store, lambda acts: with_expedite(acts, TARGET, act))
    shop.world.cloudwatch.set_alarm("errors", "ALARM")
    return shop, shop.run()


@pytest.mark.parametrize(
    ("rules", "hosts", "most"),
    [
        (Rules(health=HealthRules((AlarmRule("errors"),))), 3, 0),
        (Rules(checkpoints=Checkpoints(per_day=1)), 3, 1),
        (Rules(), 1, 0),
    ],
    ids=["health", "max-per-day", "room"],
)
def test_an_expedited_version_does_not_skip_health_the_daily_limit_or_room(rules: Rules, hosts: int, most: int) -> None:
    shop, finished = expedited(rules, hosts=hosts)
    assert updated(finished) == most
    assert sum(host.running == NEW for host in shop.world.hosts.values()) == most
    assert shop.world.findings().violations == ()
