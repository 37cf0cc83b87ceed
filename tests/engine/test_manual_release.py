"""`release`: what it shows a person, and what it then does, for every state of an instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import EngineClock, row, survey_of

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.history import Blocker
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import (
    with_backoff,
    with_claim,
    with_failure,
    without_backoff,
    without_claim,
)
from bottlerocket_ecs_updater.engine.manual_release import (
    Changed,
    ManualRelease,
    consider_instance,
    consider_tasks,
    consider_version,
    perform,
)
from bottlerocket_ecs_updater.engine.ports import Done, Gone, Later, Listing, Refused, Result, Unclear
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.errors import Denied, LeaseLost, Unreachable, UpdaterError, UsageError
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
ONE = InstanceId("i-00000000000000000")
NOWHERE = InstanceId("i-0ffffffffffffffff")


@dataclass
class Desk:
    """A person with a cluster of two instances and a state store."""

    world: World = field(default_factory=lambda: row(2, budget=None))
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.clock = EngineClock(self.world)
        self.clients = InProcessClients(self.world, "updater")
        api = Api(self.clock, CallPace(self.clock), Calls())
        self.cluster = EcsCluster(cast("Any", Pair.of(self.clients.ecs)), api, self.clock, "demo")
        self.survey = survey_of(self.clients, api)

    def ledger(self) -> KeptLedger:
        ledger = KeptLedger(self.store, "demo", RunId("release"))
        ledger.load()
        return ledger

    @property
    def arn(self) -> str:
        return self.world.instance(ONE).arn

    def register_anew(self) -> str:
        """The instance comes back under another registration. Returns the old one, which stays behind, disconnected."""
        old = self.world.instance(ONE)
        self.world.ecs.agents.went_down(old)
        self.world.clock.sleep(timedelta(minutes=2))
        self.world.ecs.agents.register(self.world.cluster, old.spec)
        return old.arn

    def claim(self, phase: ClaimPhase) -> Claim:
        return Claim(phase, RunId("run-0"), OLD, NEW, BootId("0b" * 16), self.clock.now(), 1)

    def drain(self) -> None:
        self.clients.ecs.update_container_instances_state(
            cluster="demo", containerInstances=[self.arn], status="DRAINING"
        )

    def write(self, text: str, arn: str = "") -> None:
        attribute = {"name": CLAIM_ATTRIBUTE, "value": text, "targetId": arn or self.arn}
        self.clients.ecs.put_attributes(cluster="demo", attributes=[attribute])

    def remember(self, *, claim: Claim | None = None, backoff: Backoff | None = None, id_: InstanceId = ONE) -> None:
        ledger = self.ledger()
        if claim is not None:
            ledger.change(partial(with_claim, instance=id_, claim=claim, arn=ContainerInstanceArn(self.arn)))
        if backoff is not None:
            ledger.change(partial(with_backoff, instance=id_, backoff=backoff))
        ledger.flush()

    def forget(self) -> None:
        ledger = self.ledger()
        ledger.change(partial(without_claim, instance=ONE))
        ledger.change(partial(without_backoff, instance=ONE))
        ledger.flush()

    def consider(self, id_: InstanceId = ONE) -> ManualRelease:
        return consider_instance(id_, self.cluster, self.ledger(), self.survey)

    def perform(self, release: ManualRelease) -> None:
        perform(release, self.cluster, self.ledger(), self.clock, self.survey)

    def stands(self) -> Mapping[str, object]:
        """The state of the instance in ECS and in the store."""
        instance, ledger = self.world.instance(ONE), self.ledger().value
        return {
            "status": instance.status,
            "claimed": CLAIM_ATTRIBUTE in instance.custom,
            "remembered": sorted({*ledger.claims, *ledger.backoffs}),
        }


IN_SERVICE = {"status": InstanceStatus.ACTIVE, "claimed": False, "remembered": []}


def backoff(desk: Desk, version: Version = NEW) -> Backoff:
    return Backoff(version, 2, desk.clock.now(), "not-back", rolled_back=True)


def quarantined(*, on_instance: bool = True, in_store: bool = True) -> Desk:
    """An instance that a run left DRAINING; one copy of its claim may be lost."""
    desk = Desk()
    claim = desk.claim(ClaimPhase.QUARANTINED)
    desk.drain()
    if on_instance:
        desk.write(claim.encode())
    desk.remember(claim=claim if in_store else None, backoff=backoff(desk))
    return desk


@pytest.mark.parametrize(("on_instance", "in_store"), [(True, True), (True, False), (False, True)])
def test_a_quarantined_instance_is_returned_to_service_by_whichever_copy_of_its_claim(
    *, on_instance: bool, in_store: bool
) -> None:
    desk = quarantined(on_instance=on_instance, in_store=in_store)
    planned = desk.consider()
    assert [step.partition(":")[0].partition(",")[0] for step in planned.steps()] == [
        f"set {ONE} ACTIVE",
        f"delete our claim on {ONE}",
        f"clear the backoff of {ONE}",
    ]
    assert desk.stands()["status"] is InstanceStatus.DRAINING, "nothing is done before the person agrees"
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


def test_a_quarantined_instance_that_somebody_returned_loses_its_claim() -> None:
    desk = quarantined()
    desk.world.operator_activate(ONE)
    planned = desk.consider()
    assert not any(step.startswith("set ") for step in planned.steps())
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


@pytest.mark.parametrize("phase", [ClaimPhase.DRAINING, ClaimPhase.REBOOTING])
def test_an_instance_in_the_middle_of_its_update_is_not_released(phase: ClaimPhase) -> None:
    desk = Desk()
    desk.drain()
    desk.write(desk.claim(phase).encode())
    with pytest.raises(UsageError, match="the next run finishes the update"):
        desk.consider()


def test_a_claim_that_cannot_be_read_is_named_with_what_to_do() -> None:
    desk = Desk()
    desk.drain()
    desk.write("7 somewhere over the rainbow")
    with pytest.raises(UsageError, match=r"7 somewhere over the rainbow.*delete its attribute"):
        desk.consider()


def test_a_backoff_is_cleared_and_the_instance_is_not_touched() -> None:
    desk = Desk()
    desk.remember(backoff=backoff(desk))
    calls = desk.world.calls.by_action["ecs:UpdateContainerInstancesState"]
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE
    assert desk.world.calls.by_action["ecs:UpdateContainerInstancesState"] == calls


def test_an_instance_that_somebody_else_drained_is_not_ours_to_release() -> None:
    desk = Desk()
    desk.world.operator_drain(ONE)
    planned = desk.consider()
    assert planned.steps() == []
    desk.perform(planned)
    assert desk.stands()["status"] is InstanceStatus.DRAINING


def test_an_instance_that_is_well_has_nothing_to_release() -> None:
    assert Desk().consider().steps() == []


def test_records_of_an_instance_that_left_the_cluster_are_dropped() -> None:
    desk = Desk()
    desk.remember(claim=desk.claim(ClaimPhase.QUARANTINED), id_=NOWHERE)
    planned = desk.consider(NOWHERE)
    assert planned.steps() == [f"forget our claim on {NOWHERE}: the instance is no longer in the cluster"]
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


def test_an_unknown_instance_is_refused() -> None:
    with pytest.raises(UsageError, match="not in the cluster"):
        Desk().consider(NOWHERE)


def test_a_version_that_failed_is_declared_good_for_all_instances() -> None:
    desk = Desk()
    desk.remember(backoff=backoff(desk))
    planned = consider_version(NEW, desk.ledger())
    assert planned.steps() == [
        f"mark {NEW} as good, although it failed on {ONE}: all instances may get it again",
    ]
    desk.perform(planned)
    ledger = desk.ledger().value
    assert (dict(ledger.failed_on), dict(ledger.backoffs)) == ({}, {})
    assert NEW in ledger.released


def test_a_drain_that_timed_out_is_not_called_a_failure_of_the_version() -> None:
    desk = Desk()
    desk.remember(backoff=Backoff(NEW, 1, desk.clock.now(), "drain-timed-out"))
    planned = consider_version(NEW, desk.ledger())
    assert planned.steps() == [f"clear the backoff of {ONE}: the next run may try {NEW} there again"]
    desk.perform(planned)
    assert dict(desk.ledger().value.backoffs) == {}


def test_a_version_that_never_failed_has_nothing_to_release() -> None:
    assert consider_version(NEW, Desk().ledger()).steps() == []


def test_tasks_that_blocked_a_drain_are_forgotten() -> None:
    desk = Desk()
    kept, now = desk.ledger(), desk.world.clock.now()
    blocker = Blocker(2, ONE, now - timedelta(days=1), now, timedelta(minutes=25))
    kept.change(lambda one: replace(one, blockers={"service:web": blocker}))
    kept.flush()
    assert desk.ledger().value.blockers == {"service:web": blocker}
    planned = consider_tasks("service:web", desk.ledger())
    assert ["tasks of service:web made drains of 2 runs in a row time out" in step for step in planned.steps()] == [
        True
    ]
    desk.perform(planned)
    assert not desk.ledger().value.blockers
    assert not consider_tasks("service:web", desk.ledger()).steps()


# Several registrations


def test_the_current_registration_is_set_active_and_not_an_abandoned_one() -> None:
    desk = Desk()
    left_behind = desk.register_anew()
    desk.world.cluster.instances[left_behind].status = InstanceStatus.DRAINING
    claim = desk.claim(ClaimPhase.QUARANTINED)
    desk.drain()
    desk.write(claim.encode())
    desk.remember(claim=claim)
    planned = desk.consider()
    assert planned.registration is not None
    assert planned.registration.arn == desk.arn
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE
    assert desk.world.cluster.instances[left_behind].status is InstanceStatus.DRAINING


def test_the_claim_is_dropped_wherever_it_is_written() -> None:
    desk = quarantined()
    left_behind = desk.register_anew()
    desk.drain()
    desk.write(desk.claim(ClaimPhase.QUARANTINED).encode())
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE
    assert CLAIM_ATTRIBUTE not in desk.world.cluster.instances[left_behind].custom


@pytest.mark.parametrize("in_store", [False, True])
def test_an_old_registration_that_is_quarantined_releases_nothing_that_is_in_progress(*, in_store: bool) -> None:
    """A run is updating the host under its new registration."""
    desk = quarantined(in_store=False)
    desk.register_anew()
    desk.drain()
    claim = desk.claim(ClaimPhase.REBOOTING)
    desk.write(claim.encode())
    desk.remember(claim=claim if in_store else None)
    with pytest.raises(UsageError, match="it is not quarantined"):
        desk.consider()


def test_a_claim_on_an_old_registration_does_not_block_the_update_of_the_new_one() -> None:
    desk = Desk()
    desk.write(desk.claim(ClaimPhase.REBOOTING).encode())
    desk.register_anew()
    claim = desk.claim(ClaimPhase.QUARANTINED)
    desk.drain()
    desk.write(claim.encode())
    desk.remember(claim=claim)
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE
    assert not any(CLAIM_ATTRIBUTE in one.custom for one in desk.world.cluster.instances.values())


def test_after_a_crash_between_store_and_instance_the_store_is_ahead() -> None:
    desk = quarantined()
    desk.write(desk.claim(ClaimPhase.REBOOTING).encode())
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE


def test_an_instance_that_registered_again_and_was_drained_by_somebody_else_stays_draining() -> None:
    desk = quarantined()
    desk.register_anew()
    desk.world.operator_drain(ONE)
    planned = desk.consider()
    assert [step.partition(":")[0].partition(",")[0] for step in planned.steps()] == [
        f"leave {ONE} DRAINING",
        f"delete our claim on {ONE}",
        f"clear the backoff of {ONE}",
    ]
    desk.perform(planned)
    assert desk.stands() == {"status": InstanceStatus.DRAINING, "claimed": False, "remembered": []}


def test_a_claim_that_is_only_in_the_store_needs_a_person() -> None:
    said = quarantined(on_instance=False).consider().steps()[0]
    assert "check that no one else drained it" in said
    assert "check that no one else" not in quarantined().consider().steps()[0]


@dataclass
class Dark:
    """ECS lists all instances, but does not describe one registration."""

    desk: Desk
    arn: str

    def list_all(self) -> Listing:
        whole = self.desk.cluster.list_all()
        others = tuple(each for each in whole.registrations if each.arn != self.arn)
        return Listing(others, {ContainerInstanceArn(self.arn): "SERVER: try again"})


@pytest.mark.parametrize("anew", [False, True])
def test_an_instance_that_ecs_does_not_describe_is_not_held_to_be_gone(*, anew: bool) -> None:
    desk = quarantined(in_store=anew)
    if anew:
        desk.register_anew()
    with pytest.raises(Unreachable, match="SERVER: try again"):
        consider_instance(ONE, cast("Any", Dark(desk, desk.arn)), desk.ledger(), desk.survey)


# Changes before the person confirms


def _returned_by_a_run(desk: Desk) -> None:
    desk.world.operator_activate(ONE)
    desk.clients.ecs.delete_attributes(cluster="demo", attributes=[{"name": CLAIM_ATTRIBUTE, "targetId": desk.arn}])
    desk.forget()


def _returned_and_drained_by_a_person(desk: Desk) -> None:
    _returned_by_a_run(desk)
    desk.world.operator_drain(ONE)


def _taken_by_a_run(desk: Desk) -> None:
    claim = desk.claim(ClaimPhase.REBOOTING)
    desk.write(claim.encode())
    desk.remember(claim=claim)


def _quarantined_once_more(desk: Desk) -> None:
    desk.clock.sleep(timedelta(hours=1))
    claim = desk.claim(ClaimPhase.QUARANTINED)
    desk.write(claim.encode())
    desk.remember(claim=claim)


def _drained_under_a_new_registration(desk: Desk) -> None:
    desk.register_anew()
    desk.world.operator_drain(ONE)


def _failed_once_more(desk: Desk) -> None:
    desk.remember(backoff=Backoff(NEW, 3, desk.clock.now(), "not-back", rolled_back=True))


def _written_over(desk: Desk) -> None:
    desk.write("7 somewhere over the rainbow")


def _gone(desk: Desk) -> None:
    desk.world.ecs.agents.deregister(desk.world.instance(ONE), "terminated")


@pytest.mark.parametrize(
    "meanwhile",
    [
        _returned_by_a_run,
        _returned_and_drained_by_a_person,
        _taken_by_a_run,
        _quarantined_once_more,
        _drained_under_a_new_registration,
        _failed_once_more,
        _written_over,
        _gone,
    ],
    ids=lambda meanwhile: meanwhile.__name__.strip("_"),
)
def test_if_release_would_now_do_something_else_it_does_nothing(meanwhile: Callable[[Desk], None]) -> None:
    desk = quarantined()
    planned = desk.consider()
    meanwhile(desk)
    before, acts = desk.stands(), _acts(desk)
    with pytest.raises(Changed, match="nothing was done"):
        desk.perform(planned)
    assert (desk.stands(), _acts(desk)) == (before, acts)


def _acts(desk: Desk) -> int:
    counted = desk.world.calls.by_action
    names = ("UpdateContainerInstancesState", "DeleteAttributes", "PutAttributes")
    return sum(counted[f"ecs:{name}"] for name in names)


def test_under_a_new_registration_that_is_ours_too_the_same_is_done() -> None:
    desk = quarantined()
    planned = desk.consider()
    text = desk.world.instance(ONE).custom[CLAIM_ATTRIBUTE] or ""
    desk.register_anew()
    desk.drain()
    desk.write(text)
    desk.perform(planned)
    assert desk.stands() == IN_SERVICE


def test_a_version_that_fails_on_one_more_meanwhile_is_not_declared_good() -> None:
    desk = Desk()
    desk.remember(backoff=backoff(desk))
    planned = consider_version(NEW, desk.ledger())
    ledger = desk.ledger()
    ledger.change(partial(with_failure, version=NEW, instance=NOWHERE))
    ledger.flush()
    with pytest.raises(Changed, match=NOWHERE):
        desk.perform(planned)
    assert NEW not in desk.ledger().value.released


# Calls that fail


@dataclass
class Grudging:
    """A cluster in which some calls fail. A failed call takes no effect, unless its result is unclear."""

    desk: Desk
    status: Result | UpdaterError = field(default_factory=Done)
    attribute: Result | UpdaterError = field(default_factory=Done)

    def list_all(self) -> Listing:
        return self.desk.cluster.list_all()

    def set_status(self, arns: Sequence[ContainerInstanceArn], status: Any) -> Mapping[ContainerInstanceArn, Result]:
        return self._answer(arns, self.status, lambda: self.desk.cluster.set_status(arns, status))

    def delete_attribute(
        self, name: str, arns: Sequence[ContainerInstanceArn]
    ) -> Mapping[ContainerInstanceArn, Result]:
        return self._answer(arns, self.attribute, lambda: self.desk.cluster.delete_attribute(name, arns))

    def _answer(
        self,
        arns: Sequence[ContainerInstanceArn],
        answer: Result | UpdaterError,
        act: Callable[[], Mapping[ContainerInstanceArn, Result]],
    ) -> Mapping[ContainerInstanceArn, Result]:
        if isinstance(answer, UpdaterError):
            raise answer
        done = act() if isinstance(answer, Done | Unclear) else {}
        return done if isinstance(answer, Done) else dict.fromkeys(arns, answer)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Refused("no"), "nothing was done: AWS did not set .* ACTIVE"),
        (Later("slow down"), "nothing was done"),
        (Gone("MISSING"), "nothing was done: .* left the cluster"),
        (Unclear("500"), "AWS did not report whether .* is ACTIVE now .*nothing else was done"),
        (Denied("ecs:UpdateContainerInstancesState is denied"), "is denied"),
    ],
)
def test_an_instance_that_is_not_set_active_keeps_its_claim(status: Result | UpdaterError, says: str) -> None:
    desk = quarantined()
    planned = desk.consider()
    with pytest.raises(UpdaterError, match=says):
        perform(planned, cast("Any", Grudging(desk, status=status)), desk.ledger(), desk.clock, desk.survey)
    assert desk.stands()["claimed"]
    assert desk.stands()["remembered"]
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE


@pytest.mark.parametrize(
    "attribute", [Refused("no"), Later("slow down"), Unclear("500"), Denied("ecs:DeleteAttributes is denied")]
)
def test_a_claim_that_is_not_dropped_is_reported_with_what_was_done_and_is_dropped_the_next_time(
    attribute: Result | UpdaterError,
) -> None:
    desk = quarantined()
    planned = desk.consider()
    with pytest.raises(UpdaterError, match=f"{ONE} was set ACTIVE, but .* Run `release {ONE}` again for the rest"):
        perform(planned, cast("Any", Grudging(desk, attribute=attribute)), desk.ledger(), desk.clock, desk.survey)
    stands = desk.stands()
    assert stands["status"] is InstanceStatus.ACTIVE
    assert stands["remembered"], "the ledger forgets a claim only when no copy of it is left"
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE


def test_a_rejected_write_of_release_is_reported_with_what_was_done_and_works_the_next_time() -> None:
    desk = quarantined()
    planned, ledger = desk.consider(), desk.ledger()

    def fails() -> None:
        raise LeaseLost("somebody else wrote it")

    ledger.flush = fails  # type: ignore[method-assign]
    with pytest.raises(LeaseLost, match=f"{ONE} was set ACTIVE without a claim, but somebody else wrote it"):
        perform(planned, desk.cluster, ledger, desk.clock, desk.survey)
    assert desk.stands() == {"status": InstanceStatus.ACTIVE, "claimed": False, "remembered": [ONE]}
    desk.perform(desk.consider())
    assert desk.stands() == IN_SERVICE


# Its Auto Scaling group


@pytest.mark.parametrize("state", ["Terminating", "Terminating:Wait", "Terminating:Proceed", "Warmed:Stopped"])
def test_an_instance_that_its_group_takes_away_is_left_draining_and_loses_its_claim(state: str) -> None:
    desk = quarantined()
    desk.world.autoscaling.join("hosts", ONE, state)
    planned = desk.consider()
    assert planned.steps()[0].startswith(f"leave {ONE} DRAINING: ")
    assert "hosts" in planned.steps()[0]
    desk.perform(planned)
    left = desk.world.instance(ONE)
    assert (left.status, CLAIM_ATTRIBUTE in left.custom) == (InstanceStatus.DRAINING, False)
    assert not desk.world.findings().violations


def test_an_instance_that_its_group_starts_to_take_away_meanwhile_is_not_set_active() -> None:
    desk = quarantined()
    desk.world.autoscaling.join("hosts", ONE)
    planned = desk.consider()
    desk.world.take_away(ONE, drains=False)
    with pytest.raises(Changed, match=r"leave .* DRAINING"):
        desk.perform(planned)
    assert desk.world.instance(ONE).status is InstanceStatus.DRAINING


def test_a_denied_group_read_is_shown_to_the_person() -> None:
    desk = quarantined()
    desk.world.authorize = denying("autoscaling:DescribeAutoScalingInstances")
    planned = desk.consider()
    assert "check that it is not terminating" in planned.steps()[0]
    desk.perform(planned)
    assert desk.world.instance(ONE).status is InstanceStatus.ACTIVE
