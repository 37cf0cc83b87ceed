"""A bad version that is already staged is replaced by a better one, and never booted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from tests.support.simulated import DOCUMENTS, NEW, OLD, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.document_steps import STEPS
from bottlerocket_ecs_updater.core.model.event import CommandSent, RunFinished
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.core.state.ledger import with_broken, with_failure
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.faults import (
    ApplyKilled,
    Fault,
    HashMismatch,
    Leftover,
    LockBusy,
    Moment,
    RepositoryDown,
    StartsWith,
)
from bottlerocket_ecs_updater.simulator.host import Power
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.services.documents import shell_document
from bottlerocket_ecs_updater.simulator.world.world import World

BAD, NEXT = NEW, "1.22.0"
HOSTS = 3
HOUR = timedelta(hours=1)

DENIED = Policy(rules=Rules(versions=VersionRules(deny=(VersionRange.parse(BAD),))))
PINNED = Policy(rules=Rules(versions=VersionRules(pin=VersionRange.parse(NEXT))))
WHYS = ["denied", "not pinned", "suspect", "breaks tasks", "withdrawn"]


def town(*faults: Fault, releases: tuple[str, ...] = (OLD, BAD, NEXT)) -> World:
    """Three hosts with the bad version staged and ready to boot."""
    staged = StartsWith(Leftover.READY, BAD)
    return row(HOSTS, releases=releases, faults=dict.fromkeys(range(HOSTS), (staged, *faults)))


def spoiled(why: str, world: World) -> tuple[Policy, UnkeptLedger]:
    """The policy and the ledger with which the staged version is bad for that reason."""
    ledger = UnkeptLedger()
    version, now = Version.parse(BAD), world.clock.now() - HOUR
    match why:
        case "denied":
            return DENIED, ledger
        case "not pinned":
            return PINNED, ledger
        case "suspect":
            ledger.change(lambda one: with_failure(with_failure(one, version, elsewhere(1)), version, elsewhere(2)))
        case "breaks tasks":
            ledger.change(
                lambda one: with_broken(one, version, BrokenVersion((elsewhere(1),), ("web",), "exit 1", now))
            )
        case _:
            world.repository.retract(BAD)
    return Policy(), ledger


def elsewhere(number: int) -> InstanceId:
    return InstanceId(f"i-elsewhere{number}")


def sent(updater: Updater, kind: DocumentKind) -> int:
    return sum(event.kind is kind for event in updater.tape.of(CommandSent))


def codes(finished: RunFinished) -> set[str]:
    return {one.reason.code if isinstance(one, Hold) else type(one).__name__ for one in finished.outcomes.values()}


@pytest.mark.parametrize("why", WHYS)
def test_a_newer_good_version_takes_the_place_of_a_bad_staged_one(why: str) -> None:
    world = town()
    policy, ledger = spoiled(why, world)
    updater = Updater(world, policy, ledger=ledger)
    finished = updater.run()
    findings = world.findings()
    assert (finished.exit_code, codes(finished)) == (0, {"Updated"})
    assert set(findings.versions.values()) == {NEXT}
    assert set(findings.boots.values()) == {1}
    assert findings.clean
    assert sent(updater, DocumentKind.APPLY) == HOSTS


@pytest.mark.parametrize("why", WHYS)
def test_a_bad_staged_version_stays_unbooted_if_nothing_better_is_offered(why: str) -> None:
    world = town(releases=(OLD, BAD))
    policy, ledger = spoiled(why, world)
    updater = Updater(world, policy, ledger=ledger)
    finished = updater.run()
    assert set(world.findings().boots.values()) == {0}
    assert sent(updater, DocumentKind.APPLY) == 0
    assert len(codes(finished)) == 1
    assert codes(finished) <= {
        "version-denied",
        "version-not-pinned",
        "version-suspect",
        "version-breaks-tasks",
        "staged-withdrawn",
    }


def test_the_hold_names_a_better_version_that_is_held() -> None:
    world = town()
    both = VersionRules(deny=(VersionRange.parse(BAD), VersionRange.parse(NEXT)))
    finished = Updater(world, Policy(rules=Rules(versions=both))).run()
    holds = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert {dict(one.facts)["version"] for one in holds} == {NEXT}
    assert set(world.findings().boots.values()) == {0}


def test_an_apply_document_that_cannot_cancel_leaves_the_host_held_with_what_to_do() -> None:
    world = town()
    world.documents.add(DOCUMENTS[DocumentKind.APPLY], shell_document("Stage", ("apiclient update apply",), 1800))
    ledger = UnkeptLedger()
    updater = Updater(world, DENIED, ledger=ledger)
    finished = updater.run()
    held = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert (finished.exit_code, codes(finished)) == (3, {"staged-stays"})
    assert BAD in str(held[0])
    assert NEXT in str(held[0])
    assert "apiclient update cancel" in held[0].remedy
    assert set(world.findings().boots.values()) == {0}
    assert ledger.value.failed_on == {}
    assert ledger.value.backoffs == {}
    for number in range(HOSTS):  # a person does it
        world.hosts[instance_id(number)].execute(["apiclient update cancel"], lambda _: None, timedelta(minutes=1))
    world.clock.sleep(HOUR)
    again = Updater(world, DENIED, name="run-2", ledger=ledger).run()
    assert (again.exit_code, codes(again)) == (0, {"Updated"})
    assert set(world.findings().versions.values()) == {NEXT}


@pytest.mark.parametrize("moment", [Moment.BEFORE_PREPARE, Moment.DURING_PREPARE, Moment.AFTER_PREPARE])
def test_an_apply_that_is_killed_between_cancelling_and_staging_boots_nothing_bad(moment: Moment) -> None:
    world = town(ApplyKilled(moment))
    ledger = UnkeptLedger()
    for number in range(3):
        Updater(world, DENIED, name=f"run-{number}", ledger=ledger).run()
        world.clock.sleep(2 * HOUR)
    findings = world.findings()
    assert set(findings.versions.values()) == {NEXT}
    assert set(findings.boots.values()) == {1}
    assert findings.clean


def test_a_better_version_that_cannot_be_written_counts_as_the_failure_and_nothing_is_booted() -> None:
    world, ledger = town(HashMismatch(times=None)), UnkeptLedger()
    finished = Updater(world, DENIED, ledger=ledger).run()
    assert finished.exit_code in {3, 4}
    assert set(world.findings().boots.values()) == {0}
    assert {str(rest.version) for rest in ledger.value.backoffs.values()} == {NEXT}
    assert world.findings().clean


def test_a_version_that_is_withdrawn_while_its_host_drains_is_not_booted() -> None:
    world = row(HOSTS, releases=(OLD, NEW))
    policy = replace(at_most(1), poll_interval=timedelta(seconds=15))
    world.clock.after(timedelta(minutes=1), lambda: world.repository.retract(NEW))
    Updater(world, policy).run()
    booted = [name for name, boots in world.findings().boots.items() if boots]
    assert len(booted) <= 1
    assert world.findings().clean
    assert {instance.status for instance in map(world.instance, map(instance_id, range(HOSTS)))} == {"ACTIVE"}


# Applies that arrive late, or twice


def deliver(world: World, name: str, replaces: str) -> None:
    """The agent runs an apply late, as after a lost reply or a disconnect."""
    lines = [line.replace("{{replace}}", replaces) for line in STEPS[DocumentKind.APPLY]]
    if world.hosts[name].power is Power.RUNNING:
        world.hosts[name].execute(lines, lambda _: None, timedelta(minutes=30))


def late_apply(world: World, name: str, replaces: str) -> None:
    deliver(world, name, replaces)
    world.clock.sleep(timedelta(minutes=2))


def staged_on(world: World, name: str) -> tuple[str, str | None]:
    """The update state of a host, and the version that it would boot."""
    status = world.hosts[name].update_status
    assert status is not None
    staged = status.staging_partition
    return status.update_state.value, staged.image.version if staged is not None and staged.next_to_boot else None


@pytest.mark.parametrize("replaces", ["", OLD, NEXT])
@pytest.mark.parametrize("newer", [False, True])
def test_an_apply_that_arrives_late_leaves_the_staged_update_unchanged(replaces: str, newer: bool) -> None:
    """Whatever version the apply was for, and even if the host would now choose a newer one."""
    world, name = town(), instance_id(0)
    if newer:
        world.repository.publish(Release("1.23.0", "aws-ecs-2"))
    before = staged_on(world, name)
    late_apply(world, name, replaces)
    assert before == staged_on(world, name) == ("Ready", BAD)


def test_an_apply_that_replaces_a_version_does_so_once() -> None:
    world, name = town(), instance_id(0)
    for _ in range(3):
        late_apply(world, name, BAD)
        assert staged_on(world, name) == ("Ready", NEXT)
    world.hosts[name].reboot("a person rebooted it")
    world.clock.sleep(timedelta(minutes=5))
    late_apply(world, name, BAD)
    assert world.hosts[name].running == NEXT
    assert world.findings().boots[name] == 1


@pytest.mark.parametrize("fault", [RepositoryDown(), LockBusy()], ids=["repository", "lock"])
def test_an_apply_that_cannot_work_cancels_nothing(fault: Fault) -> None:
    world, name = town(fault), instance_id(0)
    late_apply(world, name, BAD)
    assert staged_on(world, name) == ("Ready", BAD)


@pytest.mark.parametrize("at", range(10, 200, 15))
@pytest.mark.parametrize("replaces", ["", OLD, BAD])
def test_an_apply_that_arrives_at_any_time_of_a_rollout_prevents_no_update(at: int, replaces: str) -> None:
    """Before the drain, after it, between the last check and the reboot, and after the boot."""
    world = row(HOSTS, releases=(OLD, NEXT))
    for number in range(HOSTS):
        world.clock.after(timedelta(seconds=at), partial(deliver, world, instance_id(number), replaces))
    ledger = UnkeptLedger()
    finished = Updater(world, at_most(1), ledger=ledger).run()
    assert (finished.exit_code, codes(finished)) == (0, {"Updated"})
    assert set(world.findings().boots.values()) == {1}
    assert world.findings().clean
    assert ledger.value.failed_on == {}
    assert ledger.value.backoffs == {}


def test_first_seen_counts_for_the_version_that_would_take_its_place() -> None:
    """The minimum age of the better version counts from when a host first reports it, although another version is
    staged.
    """
    world, ledger = town(), UnkeptLedger()
    old_enough = VersionRules(deny=(VersionRange.parse(BAD),), minimum_age=6 * HOUR)
    policy = Policy(rules=Rules(versions=old_enough))
    first = Updater(world, policy, ledger=ledger).run()
    assert codes(first) == {Reason.VERSION_TOO_YOUNG.code}
    world.clock.sleep(7 * HOUR)
    second = Updater(world, policy, name="run-2", ledger=ledger).run()
    assert codes(second) == {"Updated"}
