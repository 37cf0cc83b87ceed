"""Lost, stale, unreadable or wrongly dated claims: other people's drains stay theirs, and no host is stranded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, OLD, EngineClock, Tape, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.event import (
    CommandSent,
    Drained,
    Event,
    InstanceHeld,
    InstanceQuarantined,
    RunFinished,
)
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import Ledger, with_claim
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming, ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import OPERATOR, World

HOURS_12 = timedelta(hours=12)
FORGETFUL = EcsTiming(attributes_survive=False)
Dies = Callable[[Event], bool]


@dataclass
class DyingTape(Tape):
    """The updater dies at an event."""

    dies: Dies = field(default=lambda _: False)

    def record(self, event: Event) -> None:
        super().record(event)
        if self.dies(event):
            raise KilledError("the test kills it here")


@dataclass
class Cluster:
    """A world and a state store, with several runs."""

    world: World
    policy: Policy = field(default_factory=partial(at_most, 1))
    store: MemoryStore = field(default_factory=MemoryStore)
    runs: int = 0

    def run(self, dies: Dies = lambda _: False, **updater: object) -> RunFinished | None:
        """One run; None if it died."""
        name = f"run-{self.runs}"
        self.runs += 1
        one = Updater(self.world, self.policy, name, ledger=self.ledger(name), tape=DyingTape(dies=dies))
        with suppress(KilledError):
            return replace(one, **updater).run()  # type: ignore[arg-type]
        return None

    def ledger(self, name: str = "a reader") -> KeptLedger:
        return KeptLedger(self.store, "demo", RunId(name))

    def remembered(self) -> Ledger:
        return self.ledger().load()

    def outcome(self, finished: RunFinished | None, number: int = 0) -> Outcome:
        assert finished is not None
        return finished.outcomes[InstanceId(instance_id(number))]

    def reason(self, finished: RunFinished | None, number: int = 0) -> Reason:
        outcome = self.outcome(finished, number)
        assert isinstance(outcome, Hold), outcome
        return outcome.reason

    def boots(self, number: int = 0) -> int:
        return self.world.hosts[instance_id(number)].boots

    def status(self, number: int = 0) -> InstanceStatus:
        return self.world.instance(instance_id(number)).status

    @property
    def person(self) -> InProcessClients:
        return InProcessClients(self.world, OPERATOR)

    def delete_claim(self, number: int = 0) -> None:
        """A person deletes the attribute, to take the instance over."""
        where = {"name": CLAIM_ATTRIBUTE, "targetType": "container-instance", "targetId": self.arn(number)}
        self.person.ecs.delete_attributes(cluster="demo", attributes=[where])

    def write_claim(self, text: str, number: int = 0) -> None:
        attribute = {"name": CLAIM_ATTRIBUTE, "value": text, "targetId": self.arn(number)}
        self.person.ecs.put_attributes(cluster="demo", attributes=[attribute])

    def arn(self, number: int = 0) -> str:
        return self.world.instance(instance_id(number)).arn

    def clean(self) -> bool:
        findings = self.world.findings()
        return not findings.violations and not findings.tasks_killed


def single(**options: object) -> Cluster:
    """A single instance, so that it is clear which one is updated."""
    return Cluster(row(1, services=0, **options))  # type: ignore[arg-type]


def sent_a_reboot(event: Event) -> bool:
    return isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT


def drained(event: Event) -> bool:
    return isinstance(event, Drained)


# Instances that their group takes away


def in_group(cluster: Cluster, state: str) -> None:
    if not cluster.world.autoscaling.has_groups:
        cluster.world.autoscaling.add_group("web", *cluster.world.hosts)
    cluster.world.autoscaling.set_lifecycle(instance_id(0), state)


def let_go(cluster: Cluster, after: int) -> None:
    """A run drains the instance, and its group starts to terminate it that many seconds after the start."""
    cluster.world.clock.after(timedelta(seconds=after), lambda: in_group(cluster, "Terminating:Wait"))
    tape = DyingTape(dies=lambda _: False)
    assert cluster.reason(cluster.run(tape=tape)) is Reason.LEAVING_GROUP
    assert [event.instance for event in tape.events if isinstance(event, InstanceHeld)] == [instance_id(0)]
    assert CLAIM_ATTRIBUTE not in cluster.world.instance(instance_id(0)).custom
    assert cluster.status() is InstanceStatus.DRAINING


@pytest.mark.parametrize("after", [28, 62, 100], ids=["drains", "reboots", "comes-back"])
def test_an_instance_that_its_group_lets_be_after_all_is_finished_by_the_next_run(after: int) -> None:
    """Its claim was dropped because it was leaving. It stayed DRAINING, as if somebody else had drained it."""
    cluster = Cluster(row(3))
    let_go(cluster, after)
    in_group(cluster, "InService")
    assert isinstance(cluster.outcome(cluster.run()), Updated)
    assert cluster.status() is InstanceStatus.ACTIVE
    assert not cluster.remembered().left
    assert cluster.clean()


def test_an_instance_that_an_earlier_run_drained_is_finished_too_if_its_group_lets_it_be() -> None:
    """A run took over its claim and rebooted it. It had not drained it, so it forgot that the updater had."""
    cluster = Cluster(row(3))
    cluster.run(drained)

    def taken_away(event: Event) -> bool:
        if sent_a_reboot(event):
            in_group(cluster, "Terminating:Wait")
        return False

    assert cluster.reason(cluster.run(taken_away)) is Reason.LEAVING_GROUP
    in_group(cluster, "InService")
    assert isinstance(cluster.outcome(cluster.run()), Updated)
    assert cluster.status() is InstanceStatus.ACTIVE
    assert cluster.clean()


def test_an_instance_that_somebody_drains_after_its_group_has_let_it_be_is_theirs() -> None:
    cluster = Cluster(row(3))
    let_go(cluster, 62)
    in_group(cluster, "InService")
    cluster.world.operator_activate(instance_id(0))
    cluster.run()
    cluster.world.operator_drain(instance_id(0))
    assert cluster.reason(cluster.run()) is Reason.DRAINED_BY_OTHERS
    assert cluster.status() is InstanceStatus.DRAINING


def test_the_claim_of_an_instance_that_is_terminated_in_its_warm_pool_is_dropped() -> None:
    """EC2 forgets a terminated instance after an hour. No run looked twice, so none was ever certain."""
    cluster = Cluster(row(3))
    world = cluster.world
    world.clock.after(timedelta(seconds=28), lambda: world.keep_warm(instance_id(0), hook=timedelta(seconds=20)))
    assert cluster.reason(cluster.run()) is Reason.WARM_POOL_DRAINED
    world.terminate_instance(instance_id(0))
    world.clock.sleep(HOURS_12)
    assert cluster.reason(cluster.run()) is Reason.GONE
    assert not cluster.remembered().claims


# Claims that are only in the store


def test_a_claim_that_aws_refused_is_not_remembered() -> None:
    """Otherwise a later run would treat a person's drain as its own."""
    refused = f.ApiFails("ThrottlingException", 400, operation="PutAttributes", lasts=timedelta(minutes=30))
    cluster = single(plan=FaultPlan((Placed(refused),)))
    stop = Stop()
    cluster.world.clock.after(timedelta(minutes=3), lambda: stop.request("SIGTERM was received"))
    cluster.run(stop=stop)
    assert cluster.remembered().claims == {}


def remembered_only(cluster: Cluster, phase: ClaimPhase = ClaimPhase.DRAINING) -> None:
    """A run wrote its claim to the store, and died before it wrote it to the instance."""
    boot = BootId(cluster.world.hosts[instance_id(0)].boot_id.replace("-", ""))
    since = cluster.world.clock.now().replace(microsecond=0)
    claim = Claim(phase, RunId("dead"), Version.parse(OLD), Version.parse(NEW), boot, since)
    ledger = cluster.ledger("dead")
    ledger.load()
    arn = ContainerInstanceArn(cluster.arn())
    ledger.change(partial(with_claim, instance=InstanceId(instance_id(0)), claim=claim, arn=arn))
    ledger.flush()


def test_an_instance_that_a_person_drained_is_left_to_them_even_with_a_claim_in_the_store() -> None:
    cluster = single()
    remembered_only(cluster)
    cluster.world.operator_drain(instance_id(0))
    assert cluster.reason(cluster.run()) is Reason.CLAIM_LOST
    assert (cluster.boots(), cluster.status()) == (1, InstanceStatus.DRAINING)
    assert cluster.clean()


def test_a_claim_that_only_the_store_remembers_is_forgotten_where_the_instance_is_in_service() -> None:
    cluster = single()
    remembered_only(cluster)
    finished = cluster.run()
    assert finished is not None
    assert finished.counts["updated"] == 1
    assert cluster.remembered().claims == {}


def test_an_instance_whose_claim_a_person_deleted_is_theirs() -> None:
    cluster = single()
    cluster.run(drained)
    cluster.delete_claim()
    for _ in range(2):
        cluster.world.clock.sleep(HOURS_12)
        assert cluster.reason(cluster.run()) is Reason.CLAIM_LOST
    assert (cluster.boots(), cluster.status()) == (1, InstanceStatus.DRAINING)


@pytest.mark.parametrize(("when", "faults"), [(drained, ()), (sent_a_reboot, (f.RebootRefused(),))])
def test_an_instance_whose_claim_a_person_deletes_during_the_run_is_not_rebooted(
    when: Dies, faults: tuple[f.Fault, ...]
) -> None:
    """A drain may last for many minutes in which only tasks are read, and a host may refuse its first reboot."""
    cluster = Cluster(row(2, services=1, faults={0: faults, 1: faults}))
    deleted: list[int] = []

    def act(event: Event) -> bool:
        if when(event) and not deleted and isinstance(event, Drained | CommandSent):
            deleted.append(int(event.instance == instance_id(1)))
            cluster.delete_claim(deleted[0])
        return False

    finished = cluster.run(act)
    (number,) = deleted
    assert cluster.reason(finished, number) is Reason.CLAIM_REMOVED
    assert (cluster.boots(number), cluster.status(number)) == (1, InstanceStatus.DRAINING)


def test_an_instance_that_a_person_reboots_while_it_drains_is_returned_even_if_the_boot_loses_its_claim() -> None:
    """It was taken for one whose claim a person had deleted, and left DRAINING."""
    cluster = Cluster(row(2, services=1, ecs_timing=FORGETFUL))
    rebooted: list[int] = []

    def act(event: Event) -> bool:
        if isinstance(event, Drained) and not rebooted:
            rebooted.append(int(event.instance == instance_id(1)))
            cluster.world.hosts[event.instance].reboot("an operator")
        return False

    assert cluster.run(act) is not None
    (number,) = rebooted
    assert cluster.status(number) is InstanceStatus.ACTIVE


def test_a_quarantined_instance_whose_claim_a_person_deleted_is_theirs() -> None:
    late = f.EcsAgentLate(timedelta(minutes=30), 0)
    cluster = single(faults={0: (late,)})
    cluster.policy = replace(cluster.policy, reboot_timeout=timedelta(minutes=10))
    quarantined = cluster.run()
    assert isinstance(cluster.outcome(quarantined), Quarantined)
    cluster.delete_claim()
    cluster.world.clock.sleep(HOURS_12)
    assert cluster.reason(cluster.run()) is Reason.CLAIM_LOST
    assert cluster.status() is InstanceStatus.DRAINING


def test_an_attribute_that_is_lost_by_the_boot_is_made_up_for_by_the_store() -> None:
    """If no attribute was ever seen to survive a boot, the store's copy is the only one."""
    cluster = single(ecs_timing=FORGETFUL)
    cluster.run(sent_a_reboot)
    cluster.world.clock.sleep(timedelta(minutes=30))
    assert CLAIM_ATTRIBUTE not in cluster.world.instance(instance_id(0)).custom
    finished = cluster.run()
    assert finished is not None
    assert finished.counts["updated"] == 1
    assert cluster.status() is InstanceStatus.ACTIVE


def test_a_stale_copy_is_not_ours_where_attributes_are_known_to_survive_boots() -> None:
    """The store was down when the claim of a returned instance should have been deleted; later a person drains it."""
    cluster = Cluster(row(1, services=0))
    cluster.run()
    assert cluster.remembered().attributes_survive
    remembered_only(cluster, ClaimPhase.REBOOTING)
    cluster.world.operator_drain(instance_id(0))
    assert cluster.reason(cluster.run()) is Reason.CLAIM_LOST
    assert (cluster.boots(), cluster.status()) == (2, InstanceStatus.DRAINING)
    assert cluster.clean()


# Claims that cannot be read


@pytest.mark.parametrize("text", ["2 draining 20300101-0000-abcd newer-format", "hands off", "1", "1 draining x"])
@pytest.mark.parametrize("dies", [drained, sent_a_reboot])
def test_an_unreadable_claim_is_held_even_if_the_store_has_a_claim(text: str, dies: Dies) -> None:
    cluster = single()
    cluster.run(dies)
    cluster.write_claim(text)
    cluster.world.clock.sleep(HOURS_12)
    before = cluster.boots()
    assert cluster.reason(cluster.run()) is Reason.CLAIM_UNREADABLE
    assert (cluster.boots(), cluster.status()) == (before, InstanceStatus.DRAINING)


# Instances that ECS lists but does not describe


@pytest.mark.parametrize("reason", ["SERVER", "MISSING", "a reason of a later API"])
@pytest.mark.parametrize("lasts", [1, 40, 300])
@pytest.mark.parametrize("dies", [drained, sent_a_reboot])
def test_w5_a_claim_survives_descriptions_that_fail(dies: Dies, lasts: int, reason: str) -> None:
    began = timedelta(hours=1)
    fails = f.PartialFailures(every=1, at=began, lasts=timedelta(seconds=lasts), reason=reason)
    cluster = single(plan=FaultPlan((Placed(fails),)), ecs_timing=FORGETFUL)
    cluster.run(dies)
    age = cluster.world.clock.now() - cluster.world.instance(instance_id(0)).registered_at
    cluster.world.clock.sleep(began - age)
    ends = [cluster.run() for _ in range(5)]
    assert sum(one.counts["updated"] for one in ends if one is not None) == 1
    assert cluster.status() is InstanceStatus.ACTIVE


def test_w5_the_memory_of_an_instance_survives_failed_descriptions() -> None:
    began = timedelta(hours=12, minutes=30)
    fails = f.PartialFailures(every=3, at=began, lasts=timedelta(seconds=1), reason="MISSING")
    cluster = Cluster(row(3, services=1, tasks=1, faults={0: (f.RollsBack(),)}, plan=FaultPlan((Placed(fails),))))
    cluster.policy = replace(cluster.policy, max_failures=5, suspect_after=5)
    cluster.run()
    before = cluster.remembered()
    assert before.backoffs.keys() == {instance_id(0)}
    for _ in range(3):
        cluster.world.clock.sleep(timedelta(minutes=30) if cluster.runs > 1 else began - timedelta(minutes=20))
        cluster.run()
    after = cluster.remembered()
    assert (after.backoffs, after.updated.keys()) == (before.backoffs, before.updated.keys())
    assert cluster.boots() == 2


# Claims written with a wrong clock


@dataclass
class Ahead(EngineClock):
    """A clock that is hours ahead."""

    def now(self) -> datetime:
        return self.world.clock.now() + timedelta(hours=20)


def stuck() -> World:
    world = row(1, services=0)
    world.add_service(ServiceSpec("stuck", 1, Workload(never_stops=True), minimum_healthy_percent=0))
    world.clock.sleep(timedelta(minutes=1))
    return world


def marked_for_reboot(event: Event) -> bool:
    return getattr(getattr(event, "phase", None), "value", "") == "rebooting"


@pytest.mark.parametrize(
    ("make", "dies", "minutes"),
    [
        (stuck, drained, 27),
        (lambda: row(1, services=0, faults={0: (f.BootHangs(times=None),)}), sent_a_reboot, 22),
        (lambda: row(1, services=0), marked_for_reboot, 10),
        (lambda: row(1, services=0), sent_a_reboot, 10),
        (lambda: row(1, services=0), drained, 6),
    ],
    ids=["drain that never ends", "host that does not come back", "marked", "rebooting", "draining"],
)
def test_a_claim_that_is_dated_in_the_future_stretches_no_limit(
    make: Callable[[], World], dies: Dies, minutes: int
) -> None:
    cluster = Cluster(make())
    cluster.run(dies, clock=Ahead(cluster.world))
    finished = cluster.run()
    assert finished is not None
    assert finished.took < timedelta(minutes=minutes)


def test_limits_count_from_the_claim_over_runs_that_die_early() -> None:
    """Each run lasts two minutes: together they reach the limit, although none reaches it alone."""
    cluster = single(faults={0: (f.BootHangs(times=None),)})
    cluster.run(sent_a_reboot)
    for _ in range(20):
        stop = Stop()
        cluster.world.clock.after(timedelta(minutes=2), lambda stop=stop: stop.request("SIGTERM"))  # type: ignore[misc]
        cluster.run(stop=stop)
        if ClaimPhase.QUARANTINED.value in (cluster.world.instance(instance_id(0)).custom[CLAIM_ATTRIBUTE] or ""):
            break
    assert cluster.runs < 20


def test_quarantine_is_reported_once_in_a_run() -> None:
    cluster = single(faults={0: (f.BootHangs(times=None),)})
    tape = DyingTape()
    cluster.run(tape=tape)
    assert len(tape.of(InstanceQuarantined)) == 1
