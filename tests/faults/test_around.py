"""Faults around a host (F31 to F33, F38 to F43, F50 to F52), and of the updater's own calls and process (W1 to W7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.faults.town import USUAL_MINUTES, Town, befall
from tests.support.promises import broken_promises
from tests.support.simulated import Updater, instance_id
from tests.support.simulated import row as cluster_of
from tests.support.story import play

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.event import InstanceHeld
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults.world import SetStatus, Step
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT

SECONDS = timedelta(seconds=2)
OUTAGE = timedelta(minutes=5)


def check_all_updated(town: Town, *, minutes: float = USUAL_MINUTES) -> None:
    """In the first run, with one boot each."""
    assert town.fates == ["updated", "up-to-date"]
    assert town.exits == [0, 0]
    assert (town.boots, town.version) == (1, NEW)
    assert town.minutes_out < minutes
    assert town.updated_the_others()


# Terminated, or registered again


@pytest.mark.parametrize("step", [Step.DRAIN, Step.REBOOT, Step.BOOT])
def test_f31_an_instance_that_is_terminated_while_it_is_ours_is_dropped_and_the_others_go_on(step: Step) -> None:
    town = befall(f.InstanceTerminated(step=step))
    assert town.fates == ["gone", "not mentioned"]
    assert town.exits == [0, 0]
    assert town.took() < timedelta(minutes=15)
    assert town.updated_the_others()


@pytest.mark.parametrize(("step", "fate"), [(Step.CHECK, "gone"), (Step.APPLY, "gone"), (Step.RETURN, "updated")])
def test_f31_an_instance_that_is_terminated_before_or_after_it_is_ours_keeps_no_other_from_its_turn(
    step: Step, fate: str
) -> None:
    town = befall(f.InstanceTerminated(step=step))
    assert town.fates == [fate, "not mentioned"]
    assert town.exits == [0, 0]
    assert town.updated_the_others()


def test_f32_a_host_that_registers_again_after_the_reboot_is_verified_and_its_claim_is_dropped() -> None:
    town = befall(f.NewContainerInstance())
    check_all_updated(town)
    registrations = town.played.world.cluster.instances.values()
    assert sum(one.ec2_instance_id == town.sick for one in registrations) == 2
    assert not any(CLAIM_ATTRIBUTE in one.custom for one in registrations), (
        "nor does the old registration keep our claim"
    )


# Somebody else


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY])
def test_f33_an_instance_that_somebody_drains_before_us_is_theirs_and_fills_the_budget(step: Step) -> None:
    town = befall(f.SomebodySets(SetStatus.DRAINING, SECONDS, step))
    assert town.fates == ["drained-by-others", "drained-by-others"]
    assert town.exits == [0, 3]
    assert (town.boots, town.version) == (0, OLD)
    assert town.of_the_others() == {"budget"}


def test_f33_an_instance_that_somebody_drains_before_us_leaves_the_other_slot_of_two() -> None:
    town = befall(f.SomebodySets(SetStatus.DRAINING, SECONDS, Step.CHECK), hosts=6, budget=2)
    assert set(town.fates) == {"drained-by-others"}
    assert set(town.exits) == {0}
    assert town.updated_the_others()


@pytest.mark.parametrize("step", [Step.DRAIN, Step.REBOOT, Step.BOOT])
def test_f33_an_instance_that_somebody_drains_once_more_while_it_is_ours_is_updated_and_returned(step: Step) -> None:
    check_all_updated(befall(f.SomebodySets(SetStatus.DRAINING, SECONDS, step)))


def test_f33_an_instance_that_somebody_drains_after_its_return_is_updated_and_stays_theirs() -> None:
    town = befall(f.SomebodySets(SetStatus.DRAINING, SECONDS, Step.RETURN), hosts=6, budget=2)
    assert town.fates[0] == "updated"
    assert set(town.fates[1:]) == {"drained-by-others"}
    assert town.boots == 1
    assert town.updated_the_others()


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY, Step.REBOOT, Step.BOOT, Step.RETURN])
def test_f33_an_instance_that_somebody_returns_outside_its_drain_is_updated_anyway(step: Step) -> None:
    check_all_updated(befall(f.SomebodySets(SetStatus.ACTIVE, SECONDS, step)))


def test_f33_an_instance_that_somebody_returns_while_we_drain_it_is_left_in_service_and_taken_an_hour_later() -> None:
    town = befall(f.SomebodySets(SetStatus.ACTIVE, SECONDS, Step.DRAIN))
    assert town.fates == ["returned-by-others", "updated", "up-to-date"]
    assert town.exits == [0, 0, 0]
    assert town.sent("reboot") == 0
    assert town.boots == 1
    assert town.updated_the_others()


# Its group

OURS = (Step.DRAIN, Step.REBOOT, Step.BOOT)


@pytest.mark.parametrize("drains", [True, False], ids=["managed-draining", "hook"])
@pytest.mark.parametrize("step", OURS)
def test_f42_an_instance_that_its_group_takes_away_while_it_is_ours_is_dropped_and_never_set_active(
    step: Step, drains: bool
) -> None:
    town = befall(f.GroupTakes(step=step, drains=drains), hosts=6, budget=2)
    assert town.fates == ["leaving-group", "not mentioned"]
    assert town.exits == [0, 0]
    assert "it was left" not in town.words()
    registration = town.played.world.instance(town.sick)
    assert registration.status.value == "INACTIVE"
    assert CLAIM_ATTRIBUTE not in registration.custom
    assert town.updated_the_others()


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY])
def test_f42_an_instance_that_its_group_takes_away_before_it_is_ours_is_left_to_it(step: Step) -> None:
    town = befall(f.GroupTakes(step=step), hosts=6, budget=2)
    assert town.fates == ["leaving-group", "not mentioned"]
    assert "its lifecycle state in Auto Scaling group hosts is Terminating" in town.words()
    assert (town.boots, town.sent("reboot")) == (0, 0)
    assert town.updated_the_others()


def test_f42_an_instance_that_its_group_takes_away_after_its_return_was_updated() -> None:
    town = befall(f.GroupTakes(step=Step.RETURN, at=SECONDS), hosts=6, budget=2)
    assert town.fates == ["updated", "not mentioned"]
    assert town.updated_the_others()


def test_f42_an_instance_whose_hook_never_ends_stays_without_a_claim_in_every_run() -> None:
    town = befall(f.GroupTakes(step=Step.DRAIN, hook=timedelta(days=2)), hosts=6, budget=2)
    assert set(town.fates) == {"leaving-group"}
    assert town.played.world.instance(town.sick).status.value == "DRAINING"
    assert CLAIM_ATTRIBUTE not in town.played.world.instance(town.sick).custom
    assert town.updated_the_others()


def test_f42_a_quarantined_instance_that_its_group_takes_away_is_dropped() -> None:
    town = befall(f.BootHangs(times=None), f.GroupTakes(at=timedelta(hours=1), hook=timedelta(days=2)), hosts=6)
    assert town.fates[0] == "quarantined:not-back"
    assert town.fates[-1] == "leaving-group"
    assert CLAIM_ATTRIBUTE not in town.played.world.instance(town.sick).custom


@pytest.mark.parametrize("step", OURS)
@pytest.mark.parametrize("minutes", [3, 200], ids=["same-run", "later-run"])
def test_f49_a_host_that_its_group_puts_into_its_warm_pool_is_finished_when_it_is_in_service_again(
    step: Step, minutes: int
) -> None:
    """Its claim was dropped, and it stayed DRAINING, as if somebody else had drained it."""
    town = befall(f.GroupKeepsWarm(step=step, lasts=timedelta(minutes=minutes)), hosts=6, budget=2)
    assert set(town.fates) <= {"warm-pool-drained", "stopped-during-reboot", "backing-off", "updated", "up-to-date"}
    assert town.fates[-1] == "up-to-date"
    assert set(town.exits) == {0}
    registration = town.played.world.instance(town.sick)
    assert registration.status.value == "ACTIVE"
    assert CLAIM_ATTRIBUTE not in registration.custom
    assert town.version == NEW
    assert town.updated_the_others()


def test_f49_a_run_that_finds_a_dead_runs_instance_in_a_warm_pool_keeps_its_claim() -> None:
    town = befall(
        f.GroupKeepsWarm(step=Step.DRAIN, lasts=timedelta(minutes=90)), world=(f.UpdaterDies(90),), hosts=6, budget=2
    )
    assert town.fates[:2] == ["died", "warm-pool-drained"]
    assert (town.fates[-1], town.version) == ("up-to-date", NEW)


def test_w1_a_host_whose_agent_stays_away_is_not_verified_by_looks_from_before_its_reboot() -> None:
    """ECS shows the agent of the old boot for a minute. The host was called updated, and returned."""
    town = befall(f.DockerDead(), world=(f.StaleReads(timedelta(seconds=60)),))
    assert town.fates[0] == "quarantined:not-back"


def test_f42_a_group_that_does_not_answer_keeps_no_host_out_of_service_forever() -> None:
    silent = f.ApiFails("ServiceUnavailable", 503, "DescribeAutoScalingInstances", at=timedelta(minutes=4))
    town = befall(world=(silent,))
    assert town.exits[0] == 0
    assert town.played.findings.clean


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY, Step.DRAIN, Step.REBOOT, Step.RETURN])
def test_f43_a_host_that_somebody_stops_and_starts_again_is_updated_in_the_end(step: Step) -> None:
    town = befall(f.InstanceStopped(step=step, lasts=timedelta(minutes=10)), hosts=6, budget=2)
    assert town.version == NEW
    assert town.played.world.instance(town.sick).status.value == "ACTIVE"
    assert town.updated_the_others()


def test_f43_a_host_that_somebody_stops_for_good_during_its_reboot_says_nothing_about_the_version() -> None:
    """Its console output is of no use: it must be started."""
    town = befall(f.InstanceStopped(step=Step.REBOOT, lasts=None), hosts=8, budget=2)
    assert town.fates[0] == "quarantined:stopped-in-ec2"
    assert town.played.endings[0].exit_code == 3
    assert town.updated_the_others()


@pytest.mark.parametrize("minutes", [1.5, 8])
def test_f43_a_version_whose_first_boot_somebody_cuts_off_by_a_stop_is_not_said_to_have_failed(minutes: float) -> None:
    """The host rolls back, and no person had to clear that."""
    town = befall(f.InstanceStopped(at=SECONDS, step=Step.BOOT, lasts=timedelta(minutes=minutes)), hosts=6, budget=2)
    assert town.fates == ["stopped-during-reboot", "updated", "up-to-date"]
    assert set(town.exits) == {0}


def test_f43_a_stop_that_ends_a_hanging_boot_does_not_excuse_the_version() -> None:
    hangs, stopped = f.BootHangs(), f.InstanceStopped(timedelta(minutes=12), Step.BOOT, timedelta(minutes=1))
    town = befall(hangs, stopped, hosts=6, budget=2)
    assert {"rolled-back", "quarantined:not-back"} & set(town.fates)
    assert "stopped-during-reboot" not in town.fates


@pytest.mark.parametrize("step", [Step.DRAIN, Step.REBOOT, Step.BOOT])
def test_f31_an_instance_that_ecs_neither_lists_nor_describes_is_gone(step: Step) -> None:
    """Each listing missed it, and each description between two listings made it count as only undescribed.

    In another world this went on for twenty minutes, and it was quarantined.
    """
    story = befall(f.InstanceTerminated(step=step)).played.story
    timing = replace(story.scenario.ecs_timing, describes_deregistered=False)
    played = play(replace(story, scenario=replace(story.scenario, ecs_timing=timing)))
    first = played.endings[0]
    assert broken_promises(played) == []
    assert first.exit_code == 0
    assert first.ended - first.began < timedelta(minutes=12)
    assert sum(isinstance(event, InstanceHeld) for event in first.events) <= 3


# Caused by nobody


@pytest.mark.parametrize("status", [f.Between.REGISTERING, f.Between.DEREGISTERING])
def test_f40_an_instance_in_a_state_in_which_it_takes_no_tasks_fills_the_budget(status: f.Between) -> None:
    town = befall(f.InBetween(status))
    assert town.fates == ["not-active", "not-active"]
    assert town.exits == [0, 3]
    assert (town.boots, town.version) == (0, OLD)
    assert town.of_the_others() == {"budget"}
    finished = town.runs[0].finished
    assert finished is not None
    assert f"{town.sick} (its status is {status})" in str(finished.outcomes[town.others[0]])


def test_f40_an_instance_whose_registration_failed_stops_no_other() -> None:
    town = befall(f.InBetween(f.Between.REGISTRATION_FAILED))
    assert set(town.fates) == {"not-active"}
    assert (town.boots, town.version) == (0, OLD)
    assert town.updated_the_others(0)


def test_f40_an_instance_that_is_registering_for_a_time_is_updated_with_the_others_after_it() -> None:
    town = befall(f.InBetween(lasts=timedelta(minutes=2)))
    assert town.fates == ["not-active", "updated", "up-to-date"]
    assert town.of_the_others(0) == {"budget"}
    assert town.updated_the_others(1)


# AWS


@pytest.mark.parametrize(
    "fault",
    [f.ApiFails(every=5), f.ApiFails("InternalServerError", 500, every=9)],
    ids=["throttled", "errors"],
)
def test_f38_calls_that_fail_now_and_then_only_delay_the_run(fault: f.ApiFails) -> None:
    town = befall(world=(fault,))
    check_all_updated(town, minutes=USUAL_MINUTES + 2)
    assert town.took() < timedelta(minutes=30)


@pytest.mark.parametrize("operation", ["DescribeContainerInstances", "UpdateContainerInstancesState", "SendCommand"])
def test_f38_an_operation_that_stays_away_for_minutes_delays_the_run_and_loses_nothing(operation: str) -> None:
    fault = f.ApiFails("ServerException", 500, operation=operation, at=timedelta(minutes=2.2), lasts=OUTAGE)
    town = befall(world=(fault,))
    check_all_updated(town, minutes=USUAL_MINUTES + 6)
    assert town.took() < timedelta(minutes=20)


def test_f38_a_run_without_an_answer_for_minutes_continues_where_it_was() -> None:
    town = befall(world=(f.ApiFails("ServerException", 500, at=timedelta(minutes=3), lasts=OUTAGE),))
    check_all_updated(town, minutes=USUAL_MINUTES + 6)


def test_f38_a_run_that_cannot_renew_its_lease_for_long_stops_and_the_next_one_finishes_its_updates() -> None:
    town = befall(world=(f.ApiFails("ServerException", 500, at=timedelta(minutes=3), lasts=8 * OUTAGE),))
    assert town.exits == [1, 0, 0]
    assert town.fates[-1] == "up-to-date"
    assert (town.boots, town.version) == (1, NEW)
    assert all(town.played.findings.versions[id_] == NEW for id_ in town.others)


def test_f38_a_denied_act_is_tried_once_and_nothing_is_drained() -> None:
    denied = f.ApiFails("AccessDeniedException", 400, operation="PutAttributes")
    town = befall(world=(denied,), runs_max=2, quiet=False)
    assert town.exits == [1, 1]
    first = town.runs[0].finished
    assert first is not None
    assert "ecs:PutAttributes" in first.why
    assert town.minutes_out == town.boots == 0
    assert town.played.findings.calls["ecs:PutAttributes"] == 2


def test_an_instance_that_has_no_room_for_one_more_attribute_is_held_and_not_drained() -> None:
    world = cluster_of(3)
    full = instance_id(0)
    names = [f"attribute-{number}" for number in range(9)]  # with what Bottlerocket writes there, ten
    attributes = [{"name": name, "value": "1", "targetId": world.instance(full).arn} for name in names]
    InProcessClients(world, "operator").ecs.put_attributes(cluster="demo", attributes=attributes)
    finished = Updater(world).run()
    findings = world.findings()
    held = finished.outcomes[InstanceId(full)]
    assert isinstance(held, Hold)
    assert held.reason is Reason.NO_ROOM_FOR_CLAIM
    assert findings.clean
    assert (findings.seconds_out[full], findings.boots[full]) == (0, 0)
    assert [findings.boots[instance_id(other)] for other in (1, 2)] == [1, 1]


@pytest.mark.parametrize("times", [1, None])
def test_f39_no_task_can_arrive_on_a_host_that_is_to_be_rebooted(times: int | None) -> None:
    check_all_updated(befall(f.TaskArrives(times)))


def test_f39_a_host_that_somebody_returns_so_that_tasks_arrive_is_not_rebooted() -> None:
    town = befall(f.TaskArrives(), f.SomebodySets(SetStatus.ACTIVE, SECONDS, Step.DRAIN))
    assert town.fates == ["returned-by-others", "updated", "up-to-date"]
    assert town.sent("reboot") == 0
    assert town.played.findings.tasks_killed == ()


# The updater's own calls and process


def test_w1_reads_that_are_behind_only_delay_the_run() -> None:
    check_all_updated(befall(world=(f.StaleReads(),)))


@pytest.mark.parametrize("operation", ["*", "SendCommand", "PutAttributes", "UpdateContainerInstancesState"])
def test_w2_lost_replies_cause_no_second_boot(operation: str) -> None:
    town = befall(world=(f.RepliesLost(operation, every=5 if operation == "*" else 2),))
    check_all_updated(town, minutes=USUAL_MINUTES + 2)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [4, 25, 40, 60, 90, 130])
def test_w3_updates_of_a_killed_updater_are_finished_by_the_next(call: int, after: bool) -> None:
    town = befall(world=(f.UpdaterDies(call, after),))
    assert town.exits[0] is None
    assert set(town.exits[1:]) == {0}
    assert (town.boots, town.version) == (1, NEW)
    assert all(town.played.findings.boots[id_] == 1 for id_ in town.others)
    assert town.minutes_out < 60 + 2 * USUAL_MINUTES


def test_w3_an_updater_that_is_killed_again_and_again_is_finished_by_the_last() -> None:
    deaths = tuple(f.UpdaterDies(call, call % 2 == 0) for call in (30, 61, 95, 140))
    town = befall(world=deaths)
    assert town.exits[-1] == 0
    assert town.exits.count(None) == len(deaths)
    assert (town.boots, town.version) == (1, NEW)
    assert all(town.played.findings.boots[id_] == 1 for id_ in town.others)


@pytest.mark.parametrize("minutes", [1, 3, 8])
def test_w4_a_second_updater_says_who_acts_and_leaves_without_an_act(minutes: int) -> None:
    town = befall(world=(f.SecondUpdater(timedelta(minutes=minutes)),))
    check_all_updated(town)
    second = next(ending for ending in town.played.endings if ending.rival)
    assert second.exit_code == 0
    assert not second.changed_something


@pytest.mark.parametrize("writes_only", [False, True])
@pytest.mark.parametrize("minutes", [2, 5, 9])
def test_w6_a_store_that_is_out_of_order_for_minutes_only_delays_the_run(minutes: int, writes_only: bool) -> None:
    town = befall(world=(f.StoreOutage(timedelta(minutes=minutes), timedelta(minutes=3), writes_only),))
    check_all_updated(town, minutes=USUAL_MINUTES + 4)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("document", ["", CHECK])
def test_w7_a_host_to_which_commands_are_denied_prevents_no_other_update(document: str, named: bool) -> None:
    town = befall(f.CommandsDenied(document, named))
    assert town.fates == ["send-denied", "send-denied"]
    assert town.exits == [0, 0]
    assert (town.boots, town.minutes_out) == (0, 0)
    assert town.updated_the_others()


@pytest.mark.parametrize("named", [True, False])
def test_w7_a_host_that_the_apply_is_denied_for_is_left_as_it_is(named: bool) -> None:
    town = befall(f.CommandsDenied(APPLY, named))
    assert town.fates == ["send-denied", "send-denied"]
    assert town.exits == [0, 3]
    assert (town.boots, town.minutes_out) == (0, 0)
    assert town.updated_the_others()


@pytest.mark.parametrize("named", [True, False])
def test_w7_a_host_whose_reboot_is_denied_is_returned_at_once_with_longer_backoffs(
    named: bool,
) -> None:
    town = befall(f.CommandsDenied(REBOOT, named), runs_max=4)
    assert town.fates == ["send-denied", "send-denied", "send-denied", "backing-off"]
    assert town.exits == [0] * 4
    assert (town.boots, town.sent("reboot")) == (0, 0)
    assert town.minutes_out < 3 * USUAL_MINUTES
    assert town.updated_the_others()
    on = "arn:aws:ec2:us-east-1:123456789012:instance/" if named else "document bottlerocket"
    assert f"ssm:SendCommand on {on}" in town.words()


DENIED = (timedelta(minutes=30), timedelta(minutes=60))
"""While the second run is active: the first one starts in the first minute, and each later one an hour after the
previous one.
"""


@pytest.mark.parametrize("named", [True, False])
def test_w7_a_host_in_progress_is_returned_to_service_where_no_reboot_may_have_been_sent(named: bool) -> None:
    town = befall(f.CommandsDenied("", named, *DENIED), world=(f.UpdaterDies(40),))
    assert town.fates == ["died", "send-denied", "updated", "up-to-date"]
    assert town.exits == [None, 0, 0, 0]
    assert town.updated_the_others(1)


@pytest.mark.parametrize("named", [True, False])
def test_w7_a_host_whose_check_is_denied_after_its_reboot_is_quarantined_and_the_version_is_not_blamed(
    named: bool,
) -> None:
    town = befall(f.CommandsDenied("", named, *DENIED), world=(f.UpdaterDies(54),))
    assert town.fates == ["died", "quarantined:not-back"]
    assert "AWS denies update checks: ssm:SendCommand" in town.words(1)
    assert town.of_the_others(1) == {"halted"}


def test_w7_it_is_returned_once_its_check_is_allowed_and_the_others_get_the_version() -> None:
    town = befall(f.CommandsDenied("", True, *DENIED), world=(f.UpdaterDies(54),), budget=2)
    assert town.fates == ["died", "quarantined:not-back", "updated", "up-to-date"]
    assert town.updated_the_others(1)


# Spot interruptions, and people who deregister hosts or delete claims


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY])
def test_f50_a_spot_instance_that_its_agent_drains_is_left_alone_and_frees_its_place_when_it_is_gone(
    step: Step,
) -> None:
    town = befall(f.SpotInterrupted(SECONDS, step))
    assert town.fates[0] == "drained-by-others"
    assert town.boots == 0
    assert set(town.exits) == {0}
    others = {name: version for name, version in town.played.findings.versions.items() if name != town.sick}
    assert set(others.values()) == {NEW}
    assert broken_promises(town.played) == []


@pytest.mark.parametrize("step", [Step.DRAIN, Step.REBOOT, Step.BOOT])
def test_f50_a_spot_notice_during_an_update_is_no_failure_of_the_version(step: Step) -> None:
    """ECS does not show the notice: the instance is DRAINING already."""
    town = befall(f.SpotInterrupted(SECONDS, step))
    assert town.exits == [0, 0]
    assert town.updated_the_others()
    assert broken_promises(town.played) == []


@pytest.mark.parametrize("step", [Step.CHECK, Step.APPLY, Step.DRAIN, Step.BOOT])
def test_f51_a_container_instance_that_somebody_deregisters_keeps_no_other_from_its_turn(step: Step) -> None:
    town = befall(f.Deregistered(SECONDS, step))
    assert not {"failed", "quarantined"} & set(town.fates)
    assert town.updated_the_others()
    assert broken_promises(town.played) == []


def test_f52_a_host_whose_claim_somebody_deletes_while_it_is_drained_is_left_to_them() -> None:
    town = befall(f.ClaimDeleted(SECONDS, Step.DRAIN))
    assert town.fates[0] == "claim-removed"
    assert town.boots == 0
    assert town.played.world.instance(town.sick).status is InstanceStatus.DRAINING
    assert broken_promises(town.played) == []
