"""Decisions followed to the end of a run, in a tiny world."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.builders import HOUR, NEW, OLD, policy
from tests.core.strategies import PURE
from tests.core.tiny_world import Host, Run, World, runs

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.command import Apply, Command, Drain, Mark, Reboot, Return, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold
from bottlerocket_ecs_updater.core.rules.policy import REBOOT_TRIES

WHOLE_LIFE = [
    Phase.UNKNOWN,
    Phase.AVAILABLE,
    Phase.STAGING,
    Phase.AVAILABLE,
    Phase.READY,
    Phase.DRAINING,
    Phase.REBOOTING,
    Phase.VERIFYING,
    Phase.CURRENT,
]
"""AVAILABLE appears again while the host is checked after the apply; RETURNING is over before the next look."""


def world(count: int = 4, zones: int = 3, **faults: bool) -> World:
    names = [InstanceId(f"i-{number:02}") for number in range(count)]
    hosts = {name: Host(name, Zone(f"zone-{place % zones}"), **faults) for place, name in enumerate(names)}  # type: ignore[arg-type]
    return World(hosts)


def run(place: World, budget: int = 1) -> Run:
    (only,) = runs(place, policy(budget), [])
    return only


def one_bad(**faults: bool) -> World:
    """Three hosts, of which the first misbehaves."""
    place = world(3)
    first = InstanceId("i-00")
    place.hosts[first] = replace(place.hosts[first], **faults)  # type: ignore[arg-type]
    return place


def restored(place: World) -> bool:
    """Whether every instance is in service and has no claim."""
    return all(host.status is Status.ACTIVE and CLAIM_ATTRIBUTE not in host.attributes for host in place.hosts.values())


# Healthy


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_a_healthy_fleet_converges_to_all_updated(budget: int) -> None:
    place = world(5)
    assert set(run(place, budget).outcomes.values()) == {Updated(OLD, NEW)}
    assert {host.running for host in place.hosts.values()} == {NEW}
    assert restored(place)


def test_every_instance_goes_through_its_phases_in_order() -> None:
    phases = [[phase for phase in seen if phase is not Phase.RETURNING] for seen in run(world(3)).phases.values()]
    assert phases == [WHOLE_LIFE] * 3


def test_every_host_is_staged_drained_and_rebooted_once() -> None:
    place = world(4)
    run(place)
    for kind in (Apply, Drain, Reboot):
        assert sorted(c.instance for c in place.commands if isinstance(c, kind)) == sorted(place.hosts)


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_the_budget_is_used_and_never_exceeded(budget: int) -> None:
    place = world(6)
    run(place, budget)
    assert place.most_out == budget


def test_an_up_to_date_cluster_is_checked_and_left_alone() -> None:
    place = world(3)
    place.hosts = {id_: replace(host, state=UpdateState.IDLE) for id_, host in place.hosts.items()}
    assert set(run(place).outcomes.values()) == {UpToDate(OLD)}
    assert len(place.commands) == 6  # a check and a conclusion each


def test_an_instance_that_somebody_else_drained_stays_as_it_is() -> None:
    place = world(3)
    theirs = place.hosts[InstanceId("i-01")]
    theirs.status = Status.DRAINING
    done = run(place, 2)
    assert (theirs.status, theirs.attributes, theirs.running) == (Status.DRAINING, {}, OLD)
    assert done.outcomes[InstanceId("i-00")] == Updated(OLD, NEW)


def test_a_second_run_finds_nothing_to_do() -> None:
    place = world(3)
    run(place)
    before = len(place.commands)
    assert set(run(place).outcomes.values()) == {UpToDate(NEW)}
    assert len(place.commands) == before + 6


# With faults


def test_a_version_that_rolls_back_is_tried_on_two_instances_and_no_more() -> None:
    place = world(6, rolls_back=True)
    done = run(place)
    rebooted = {command.instance for command in place.commands if isinstance(command, Reboot)}
    assert (len(rebooted), restored(place), done.halt is not None) == (2, True, True)


def test_a_version_that_rolled_back_is_not_tried_again_by_the_next_run() -> None:
    place = world(6, rolls_back=True)
    run(place)
    before = sum(isinstance(command, Reboot) for command in place.commands)
    place.now += 24 * HOUR
    run(place)
    assert sum(isinstance(command, Reboot) for command in place.commands) == before


def test_a_host_that_refuses_to_reboot_is_returned_to_service_and_the_others_go_on() -> None:
    place = one_bad(refuses_reboot=True)
    outcome = run(place).outcomes[InstanceId("i-00")]
    assert isinstance(outcome, Failed)
    assert outcome.failure is Failure.REBOOT_REFUSED
    assert (restored(place), sum(isinstance(c, Reboot) for c in place.commands)) == (True, REBOOT_TRIES + 2)


def test_a_host_that_accepts_a_reboot_and_never_goes_down_is_quarantined() -> None:
    """Its shutdown is pending: if it were returned, its new tasks would be killed."""
    place = one_bad(ignores_reboot=True)
    outcome = run(place).outcomes[InstanceId("i-00")]
    assert isinstance(outcome, Quarantined)
    assert isinstance(outcome.why, Failed)
    assert outcome.why.failure is Failure.REBOOT_STALLED
    assert place.hosts[InstanceId("i-00")].status is Status.DRAINING
    assert sum(isinstance(c, Reboot) for c in place.commands) == 1


def test_such_a_host_is_returned_to_service_when_its_reboot_is_a_day_old() -> None:
    place = one_bad(ignores_reboot=True)
    run(place)
    place.now += 23 * HOUR
    run(place)
    assert place.hosts[InstanceId("i-00")].status is Status.DRAINING
    place.now += 2 * HOUR
    run(place)
    assert place.hosts[InstanceId("i-00")].status is Status.ACTIVE


def test_a_host_that_never_returns_is_quarantined_and_reported_by_the_next_run_too() -> None:
    place = one_bad(never_returns=True)
    for _ in range(2):
        assert isinstance(run(place, 2).outcomes[InstanceId("i-00")], Quarantined)
    assert place.hosts[InstanceId("i-00")].status is Status.DRAINING
    assert {place.hosts[InstanceId(name)].running for name in ("i-01", "i-02")} == {NEW}


def test_a_quarantined_host_that_is_repaired_is_returned_by_the_next_run() -> None:
    place = one_bad(never_returns=True)
    run(place)
    place.hosts[InstanceId("i-00")].never_returns = False
    assert run(place).outcomes[InstanceId("i-00")] == Updated(OLD, NEW)
    assert restored(place)


def test_a_host_whose_apply_fails_is_never_drained() -> None:
    place = one_bad(fails_apply=True)
    outcome = run(place).outcomes[InstanceId("i-00")]
    assert isinstance(outcome, Failed)
    assert outcome.failure is Failure.APPLY_FAILED
    assert "i-00" not in [command.instance for command in place.commands if isinstance(command, Drain)]


# Crashes

FEWER = settings(PURE, max_examples=25)
"""Each example takes many passes."""


@FEWER
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 3))
def test_the_next_run_finishes_the_updates_of_a_killed_run(deaths: list[int], budget: int) -> None:
    place = world(4)
    for _ in runs(place, policy(budget), deaths):
        assert place.most_out <= budget
    assert {host.running for host in place.hosts.values()} == {NEW}
    assert restored(place)


@pytest.mark.parametrize("before", [Mark, Drain, Reboot, Return, Unmark])
def test_a_run_that_dies_at_the_same_point_again_and_again_leaves_work_that_is_finished(before: type[Command]) -> None:
    place = world(2)
    list(runs(place, policy(), [before] * 25))
    assert ({host.running for host in place.hosts.values()}, restored(place)) == ({NEW}, True)


@FEWER
@given(st.lists(st.integers(0, 40), max_size=8), st.data())
def test_no_instance_is_stranded_by_any_faults_of_hosts_and_killed_runs(deaths: list[int], data: st.DataObject) -> None:
    place = world(5)
    names = ["rolls_back", "refuses_reboot", "ignores_reboot", "never_returns", "fails_apply"]
    for id_, host in place.hosts.items():
        faults = data.draw(st.sets(st.sampled_from(names), max_size=1), label=id_)
        place.hosts[id_] = replace(host, **dict.fromkeys(faults, True))  # type: ignore[arg-type]
    last = list(runs(place, policy(2), deaths))[-1]
    for id_, host in place.hosts.items():
        outcome = last.outcomes[id_]
        quarantined = isinstance(outcome, Quarantined)
        assert (host.status, CLAIM_ATTRIBUTE in host.attributes) == (
            (Status.DRAINING, True) if quarantined else (Status.ACTIVE, False)
        )
        assert not isinstance(outcome, Hold) or host.status is Status.ACTIVE


@FEWER
@given(st.integers(0, 60))
def test_a_crash_causes_a_second_reboot_only_if_it_happened_at_the_reboot(after: int) -> None:
    place = world(2)
    list(runs(place, policy(), [after]))
    boots = [host.boots for host in place.hosts.values()]
    assert boots == [1, 1]
