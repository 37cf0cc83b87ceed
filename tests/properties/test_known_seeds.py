"""Scenarios that once failed, each with a name and the seed that found it, or written out as simply as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.invented import (
    Dice,
    story_of_departures,
    story_of_everything,
    story_of_mixed_ground,
    story_of_operators,
    story_of_own_ground,
    story_of_reboots,
    story_of_stale_reads,
    story_of_the_field,
    story_of_the_platform,
)
from tests.support.promises import broken_promises
from tests.support.store_stories import story_of_the_store
from tests.support.story import Story, play

from bottlerocket_ecs_updater.core.model.event import Returned
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed, StaleReads
from bottlerocket_ecs_updater.simulator.scenarios import NEW, row
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming


def test_a_drain_is_not_treated_as_undone_by_what_was_seen_before_it() -> None:
    """One drain never ends, and the others are long, so passes for the one use older facts about the others.

    Found by seed 6 of the quiet scenarios: an instance that had just been drained seemed to be returned by somebody
    else, and stayed DRAINING without an owner.
    """
    stuck = ServiceSpec("stuck", 1, Workload(never_stops=True))
    slow = ServiceSpec("slow", 9, Workload(shutdown=timedelta(seconds=29)))
    for instances in (5, 6):
        played = play(Story(row(instances, services=(stuck, slow)), Policy(Limit(number=2), settle=timedelta())))
        assert played.findings.stranded == ()


def test_updates_start_even_if_a_look_takes_longer_than_a_poll() -> None:
    """Facts that are read one after the other are never fresh together if a look takes longer than the poll interval.

    Found by seeds 23, 30, 39, 45 and 57 of the scenarios with everything: the run looked for hours, and started
    nothing.
    """
    polling = Policy(poll_interval=timedelta(seconds=1))
    played = play(Story(row(3), polling, latency=timedelta(seconds=0.6), runs_max=2))
    assert set(played.findings.versions.values()) == {NEW}


def test_a_last_look_for_room_and_the_look_at_the_own_host_are_one_where_looks_are_slow() -> None:
    """The host without room and the updater's own host were read in turn, and a run went on for six hours.

    Found by seed 31121 of the scenarios with updaters on the cluster's hosts.
    """
    played = play(story_of_own_ground(Dice(31121)))
    assert broken_promises(played) == []


def test_an_instance_that_its_group_takes_is_emptied_when_ecs_counts_no_task_on_it() -> None:
    """The simulated world counted it as out of service while its last task was still stopping.

    Found by seed 2200629 of the scenarios with Auto Scaling.
    """
    assert broken_promises(play(story_of_the_platform(Dice(2200629)))) == []


def test_no_drain_is_lost_if_ecs_lags_for_longer_than_three_polls() -> None:
    """A claim was dropped as returned by others six seconds after a drain that ECS showed only after seven.

    Found by seed 5095 of the scenarios with operators: how stale ECS's reads are does not depend on the number of
    reads.
    """
    polling = Policy(poll_interval=timedelta(seconds=2))
    lagging = FaultPlan((Placed(StaleReads(timedelta(seconds=7))),))
    scenario = row(3)
    played = play(Story(replace(scenario, faults=lagging), polling, runs_max=3))
    assert broken_promises(played) == []
    assert set(played.findings.versions.values()) == {NEW}


SLOW = timedelta(seconds=20)


@pytest.mark.parametrize("poll", [1, 2, 5])
def test_slow_commands_are_waited_for_even_after_many_looks(poll: int) -> None:
    """Hosts "did not answer" after twelve seconds, although Systems Manager may take thirty to deliver a command."""
    timing = SsmTiming(delivery=timedelta(seconds=8), report=timedelta(seconds=6))
    scenario = replace(row(2, services=(ServiceSpec("web", 2),)), ssm_timing=timing)
    played = play(Story(scenario, Policy(poll_interval=timedelta(seconds=poll)), runs_max=2))
    assert broken_promises(played) == []
    assert played.endings[0].finished is not None
    assert played.endings[0].finished.counts["updated"] == 2


@pytest.mark.parametrize("poll", [1, 2, 5])
@pytest.mark.parametrize("every", range(1, 6))
def test_a_command_whose_reply_was_lost_is_looked_for_until_it_must_be_listed(poll: int, every: int) -> None:
    """A host was checked while an apply ran on it that Systems Manager listed only after twelve polls."""
    lost = FaultPlan((Placed(f.RepliesLost("SendCommand", every=every, times=1)),))
    timing = SsmTiming(delivery=SLOW, visible=SLOW)
    scenario = replace(row(2, services=(ServiceSpec("web", 2),), faults=lost), ssm_timing=timing)
    played = play(Story(scenario, Policy(poll_interval=timedelta(seconds=poll)), runs_max=2))
    assert broken_promises(played) == []


@pytest.mark.parametrize("instances", [2, 3, 4])
@pytest.mark.parametrize(
    ("code", "status", "every"),
    [
        *(("ThrottlingException", 400, every) for every in (2, 3, 5, 7)),
        *(("InternalServerError", 500, every) for every in (5, 7)),
    ],
)
def test_calls_that_fail_in_step_with_the_looks_are_no_failure_of_the_hosts(
    code: str, status: int, every: int, instances: int
) -> None:
    """If every n-th call fails and each pass makes n calls, the same call fails in every pass: the apply, for example.

    Found by seeds of the soak: whole clusters failed at an apply that was never sent, a reboot could never be sent, a
    lease was never renewed, and a host was given up because its reboot came late.
    """
    plan = FaultPlan((Placed(f.ApiFails(code, status, every=every)),))
    played = play(Story(row(instances, faults=plan)))
    assert broken_promises(played) == []
    assert set(played.findings.versions.values()) == {NEW}


def test_an_instance_that_was_not_described_at_first_is_not_checked_while_an_apply_of_a_dead_run_is_in_progress() -> (
    None
):
    """Commands of earlier runs were searched only for instances that the first listing described.

    Found by seed 1001492 of the scenarios with operators.
    """
    faults = FaultPlan(
        (
            Placed(f.SlowDownload(timedelta(minutes=14)), row(1).members[0].host.instance_id),
            Placed(f.UpdaterDies(25)),
            Placed(f.PartialFailures(every=1, at=timedelta(seconds=70), lasts=timedelta(seconds=50))),
        )
    )
    played = play(Story(replace(row(1), faults=faults), Policy(), runs_max=3))
    assert played.endings[0].finished is None
    assert broken_promises(played) == []


@pytest.mark.parametrize("every", [4, 5, 7])
def test_a_denial_for_one_host_ends_no_run_while_calls_for_others_fail_for_the_moment(every: int) -> None:
    """The only answer so far was a denial, so the document counted as denied for all hosts.

    Found by seed 880563 of the scenarios with everything, in which every seventh call failed.
    """
    cluster = row(2)
    denied = cluster.members[1].host.instance_id
    plan = FaultPlan(
        (
            Placed(f.CommandsDenied(), denied),
            Placed(f.ApiFails("InternalServerError", 500, every=every)),
            Placed(f.RepliesLost("SendCommand", every=3, times=5)),
        )
    )
    played = play(Story(replace(cluster, faults=plan), right="task"))
    assert played.findings.versions[cluster.members[0].host.instance_id] == NEW
    assert broken_promises(played) == []


@pytest.mark.parametrize("minutes", [4, 10, 25])
def test_runs_that_ecs_shows_no_instance_are_followed_by_ones_that_update_them(minutes: int) -> None:
    """Each ended with success after half a minute, so that two in a row counted as the end of the work."""
    dark = FaultPlan((Placed(f.PartialFailures(every=1, lasts=timedelta(minutes=minutes))),))
    played = play(Story(row(3, services=(ServiceSpec("web", 2),), faults=dark)))
    blind = [ending for ending in played.endings if ending.saw_nothing]
    assert blind
    assert {ending.exit_code for ending in blind} == {3}
    assert set(played.findings.versions.values()) == {NEW}
    assert broken_promises(played) == []


def test_room_that_a_capacity_provider_has_given_away_is_room_no_more() -> None:
    """Its group could launch one more instance when the run started.

    That instance joined, and a drain timed out for lack of room.

    What was read about a provider counted for fifteen minutes, even if instances joined the cluster in the meantime.
    """
    played = play(story_of_mixed_ground(Dice(735177)))
    assert not any(isinstance(event, Returned) for event in played.endings[-1].events)
    assert broken_promises(played) == []


@pytest.mark.parametrize(
    ("tell", "seed"),
    [
        (story_of_departures, 733940),
        (story_of_operators, 734128),
        (story_of_departures, 950636),
        (story_of_departures, 951126),
        (story_of_everything, 959227),
        (story_of_everything, 961019),
        (story_of_the_store, 986545),
        (story_of_reboots, 992032),
        (story_of_the_platform, 1213377),
        (story_of_departures, 1221200),
        (story_of_stale_reads, 1239349),
        (story_of_departures, 1233240),
    ],
)
def test_a_change_that_no_updater_could_notice_yet_breaks_no_promise(tell: Callable[[Dice], Story], seed: int) -> None:
    """A stopped host that was started six seconds before a drain; a run that found only a drain that never started.

    A host that left its warm pool seven seconds before a run ended; a group that AWS refused to show; an instance that
    ECS did not describe until the last run had ended; tasks that were PENDING by a clock that was hours ahead. Agents
    that lost their connection just before or after a return, for as long as ECS still shows them connected.
    A host that its group started from its warm pool some seconds before its return.
    A boot, after a stop, into what somebody had staged; a drain by an operator that ECS did not show yet.
    A return by an operator a tenth of a second before the reboot command, after the last look.
    """
    assert broken_promises(play(tell(Dice(seed)))) == []


def test_a_claimed_host_that_ecs_is_registering_may_be_said_to_be_out_of_service() -> None:
    """It stayed REGISTERING, with a claim, and only its return or its end would have ended that.

    Found by seed 950086 of the scenarios with operators.
    """
    assert broken_promises(play(story_of_operators(Dice(950086)))) == []


def test_a_run_does_not_end_while_a_host_that_it_drained_leaves_its_warm_pool() -> None:
    """The run had read the group two minutes before, reported the host as kept warm, and exited with 0.

    Found by seed 771142 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(771142)))) == []


def test_a_host_that_its_group_starts_from_its_warm_pool_takes_a_place_until_its_agent_connects() -> None:
    """The run had read its group minutes before, and drained a second host while the first one booted.

    Found by seed 964300 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(964300)))) == []


def test_managed_instances_and_ecs_anywhere_are_no_room_for_other_services() -> None:
    """The only host of the launch type EC2 was rightly held. Found by seed 988871 of the scenarios on mixed ground."""
    assert broken_promises(play(story_of_mixed_ground(Dice(988871)))) == []


def test_a_warm_pool_minutes_before_a_reboot_does_not_excuse_its_rollback() -> None:
    """The record said that the host was stopped during its reboot, and it was rebooted again.

    Found by seed 1212660 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(1212660)))) == []


@pytest.mark.parametrize("seed", [1201471, 1230199])
def test_two_hosts_that_reboot_by_themselves_are_no_evidence_against_their_version(seed: int) -> None:
    """Each of them killed all of its tasks, minutes apart, and the run halted: the version did not work on them.

    Found by seeds of the scenarios with updaters on the cluster's hosts.
    """
    assert broken_promises(play(story_of_own_ground(Dice(seed)))) == []


def test_a_host_that_was_once_in_its_warm_pool_during_a_reboot_is_not_rebooted_forever() -> None:
    """It rolled back at every reboot, and each time the run took it for stopped during the boot, and tried again.

    Found by seed 1221802 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(1221802)))) == []


def test_a_run_that_takes_over_a_claim_has_time_to_verify_the_boot_twice() -> None:
    """A healthy host was quarantined because its agent was disconnected for ten seconds after the first verification.

    Found by seed 1223435 of the scenarios with everything.
    """
    assert broken_promises(play(story_of_everything(Dice(1223435)))) == []


@pytest.mark.parametrize(
    ("tell", "seed"),
    [(story_of_departures, 1204246), (story_of_departures, 1224476), (story_of_the_platform, 1230751)],
)
def test_hosts_that_never_count_or_that_their_group_takes_explain_holds(
    tell: Callable[[Dice], Story], seed: int
) -> None:
    """A host whose registration failed is not part of the budget, and one that its group terminates is no room."""
    assert broken_promises(play(tell(Dice(seed)))) == []


def test_a_quarantined_host_in_its_warm_pool_makes_no_run_fail() -> None:
    """The run said that an instance was out of service, exited with 3, and named none.

    Found by seed 1233324 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(1233324)))) == []


@pytest.mark.parametrize("seed", [1221867, 1238667])
def test_the_exit_code_counts_a_claimed_host_that_ecs_is_registering_or_deregistering(seed: int) -> None:
    """The answer to its claim was lost; and the claim of one that ECS deregistered later had been dropped before."""
    assert broken_promises(play(story_of_everything(Dice(seed)))) == []


def test_a_host_that_its_group_terminates_is_not_returned_although_instance_refreshes_are_denied() -> None:
    """AWS said that the group was terminating it, but the run dropped all answers about groups after the denial.

    Found by seed 1206010 of the scenarios with departures.
    """
    assert broken_promises(play(story_of_departures(Dice(1206010)))) == []


@pytest.mark.parametrize("seed", [1204738, 1225150, 1230204, 1232038])
def test_a_version_that_breaks_tasks_is_noticed_before_the_next_reboot(seed: int) -> None:
    """In each story, tasks had failed on one host for minutes when another was rebooted into the same version.

    How the tasks of a crashing service ended was read minutes before; ECS had placed a task before it answered the
    return; the tasks that a finished drain had moved still explained starts; and tasks stayed PENDING on two hosts, of
    a service that had crashed on all others after it started.
    """
    assert broken_promises(play(story_of_the_field(Dice(seed)))) == []


def test_a_task_that_ecs_lists_but_does_not_describe_may_be_an_older_updater() -> None:
    """Without a state store, only the oldest task may act. ECS left the first one out, so the second one acted too.

    Found by seed 1500747 of the scenarios with everything.
    """
    assert broken_promises(play(story_of_everything(Dice(1500747)))) == []
