"""The AWS code against the simulated AWS, in process and over HTTP with botocore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.session import Session

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.identity import running_tasks_of_family
from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Clients, Pair
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Registration, Status
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState, read_check
from bottlerocket_ecs_updater.core.model.ids import CommandId, ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.engine.ports import ABSENT, Answer, Conflict, Done, Gone, Refused, Unclear
from bottlerocket_ecs_updater.errors import Denied, NotFound
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.wire import Wire
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

CLAIM = "bottlerocket-ecs-updater.claim"
DOCUMENTS = {DocumentKind.CHECK: CHECK, DocumentKind.APPLY: APPLY, DocumentKind.REBOOT: REBOOT}
INSTANCES = 12
LONGEST_CLAIM = "1 rebooting " + "x" * 116


@dataclass
class WorldClock:
    """The world's own time."""

    world: World

    def now(self) -> Any:
        return self.world.clock.now()

    def sleep(self, span: timedelta) -> bool:
        self.world.clock.sleep(span)
        return True


@dataclass
class Aws:
    """A world, and the AWS code that calls it through one of its interfaces."""

    world: World
    ecs: Pair[Any]
    ssm: Pair[Any]
    s3: Pair[Any]
    calls: Calls = field(default_factory=Calls)

    @property
    def api(self) -> Api:
        clock = WorldClock(self.world)
        return Api(clock, CallPace(clock), self.calls)

    def cluster(self, name: str = "demo") -> EcsCluster:
        return EcsCluster(self.ecs, self.api, WorldClock(self.world), name)

    def hosts(self, **documents: str) -> SsmHosts:
        return SsmHosts(
            self.ssm, self.api, {kind: documents.get(kind.value, name) for kind, name in DOCUMENTS.items()}, "a test"
        )

    def store(self) -> S3Store:
        self.s3.acting.create_bucket(Bucket="state")
        return S3Store(self.s3, self.api, "state", "web")

    def arn(self, number: int) -> ContainerInstanceArn:
        return ContainerInstanceArn(self.world.instance(id_of(number)).arn)

    def pass_time(self, **span: float) -> None:
        with self.world.clock.lock:
            self.world.clock.sleep(timedelta(**span))

    def check(self, hosts: SsmHosts, count: int) -> dict[InstanceId, Answer]:
        """Check hosts, so that they choose an update. An apply before that is rejected."""
        [command] = set(hosts.send(DocumentKind.CHECK, ids(count)).commands.values())
        return self.answers(hosts, command, DocumentKind.CHECK)

    def answers(self, hosts: SsmHosts, command: CommandId, kind: DocumentKind) -> dict[InstanceId, Answer]:
        """The hosts' answers to a command, after the last of them has answered."""
        for _ in range(120):
            self.pass_time(seconds=5)
            answers = hosts.answers(command, kind)
            if answers and all(answer.end is not None for answer in answers.values()):
                return dict(answers)
        raise AssertionError("it never ended")


def id_of(number: int) -> InstanceId:
    return InstanceId(f"i-{number:017x}")


def ids(count: int = INSTANCES) -> list[InstanceId]:
    return [id_of(number) for number in range(count)]


@pytest.fixture
def world() -> World:
    repository = Repository()
    for version in ("1.20.0", "1.21.0"):
        repository.publish(Release(version, "aws-ecs-2"))
    world = World(VirtualClock(), repository=repository)
    for number in range(INSTANCES):
        world.add_instance(HostSpec(id_of(number), version="1.20.0"), f"us-east-1{'abc'[number % 3]}")
    world.add_service(ServiceSpec("web", desired=INSTANCES))
    world.add_service(ServiceSpec("logs", strategy=Strategy.DAEMON))
    world.clock.sleep(timedelta(minutes=2))
    return world


@pytest.fixture(params=["in process", "over HTTP"])
def aws(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    if request.param == "in process":
        near = InProcessClients(world)
        yield Aws(world, Pair.of(near.ecs), Pair.of(near.ssm), Pair.of(near.s3))
        return
    with Wire(world) as wire:
        for name, value in wire.environment().items():
            monkeypatch.setenv(name, value)
        far = Clients(version="test", region=world.names.region)
        yield Aws(world, far.ecs, far.ssm, far.s3)
        for pair in (far.ecs, far.ssm, far.s3):
            pair.looking.close()
            pair.acting.close()


def by_id(registrations: tuple[Registration, ...]) -> dict[InstanceId, Registration]:
    return {registration.id: registration for registration in registrations}


# ECS


def test_the_answers_to_several_commands_take_one_call(aws: Aws) -> None:
    hosts = aws.hosts()
    commands = [hosts.send(DocumentKind.CHECK, [id_]).commands[id_] for id_ in ids(3)]
    aws.pass_time(seconds=30)
    asked = aws.calls["ssm:ListCommandInvocations"]
    answers = hosts.answers_to(dict.fromkeys(commands, DocumentKind.CHECK))
    assert aws.calls["ssm:ListCommandInvocations"] == asked + 1
    assert [set(answers[command]) for command in commands] == [{id_} for id_ in ids(3)]
    assert {one.end for by_host in answers.values() for one in by_host.values()} == {CommandStatus.SUCCESS}


def test_commands_of_others_hide_no_answer(aws: Aws) -> None:
    """Other clusters use the same document at the same time: their answers are listed too, and fill pages."""
    hosts, other = aws.hosts(), aws.hosts()
    commands = [hosts.send(DocumentKind.CHECK, [id_]).commands[id_] for id_ in ids(2)]
    for _ in range(40):
        other.send(DocumentKind.CHECK, ids())
    aws.pass_time(minutes=2)
    asked = aws.calls["ssm:ListCommandInvocations"]
    answers = hosts.answers_to(dict.fromkeys(commands, DocumentKind.CHECK))
    assert [set(answers[command]) for command in commands] == [{id_} for id_ in ids(2)]
    assert aws.calls["ssm:ListCommandInvocations"] - asked <= 3


def test_a_command_of_another_run_is_read_by_its_id(aws: Aws) -> None:
    before, hosts = aws.hosts(), aws.hosts()
    found = [before.send(DocumentKind.CHECK, [id_]).commands[id_] for id_ in ids(2)]
    aws.pass_time(seconds=30)
    answers = hosts.answers_to(dict.fromkeys(found, DocumentKind.CHECK))
    assert [set(answers[command]) for command in found] == [{id_} for id_ in ids(2)]


def test_every_instance_is_listed_with_its_zone_and_variant(aws: Aws) -> None:
    found = by_id(aws.cluster().list_all().registrations)
    assert set(found) == set(ids())
    assert {registration.zone for registration in found.values()} == {"us-east-1a", "us-east-1b", "us-east-1c"}
    assert all(registration.variant and registration.variant.startswith("aws-ecs-2") for registration in found.values())
    assert all(registration.connected for registration in found.values())


def test_an_instance_that_ecs_does_not_know_is_undescribed_as_missing(aws: Aws) -> None:
    unknown = ContainerInstanceArn(aws.arn(0)[:-32] + "0" * 32)
    listing = aws.cluster().describe([aws.arn(0), unknown])
    assert len(listing.registrations) == 1
    assert listing.undescribed[unknown].startswith("MISSING")


def test_a_cluster_can_be_named_by_its_arn_too(aws: Aws) -> None:
    assert len(aws.cluster(aws.world.cluster.arn).list_all().registrations) == INSTANCES


def test_a_cluster_that_does_not_exist_is_not_found(aws: Aws) -> None:
    with pytest.raises(NotFound, match="nowhere does not exist"):
        aws.cluster("nowhere").list_all()


def test_all_tasks_are_listed_by_instance_with_daemons_recognized(aws: Aws) -> None:
    cluster = aws.cluster()
    cluster.services()
    tasks = cluster.all_tasks()
    assert set(tasks) == {aws.arn(number) for number in range(INSTANCES)}
    assert sum(one.daemon for some in tasks.values() for one in some) == INSTANCES
    assert all(one.of_service for some in tasks.values() for one in some)


def test_a_standalone_task_is_distinguished(aws: Aws) -> None:
    aws.world.run_standalone_task(id_of(0))
    assert sum(not one.of_service for one in aws.cluster().tasks_of([aws.arn(0)])[aws.arn(0)]) == 1


def test_services_come_with_their_counts(aws: Aws) -> None:
    found = {service.name: service for service in aws.cluster().services()}
    assert (found["web"].desired, found["web"].deficit, found["web"].daemon) == (INSTANCES, 0, False)
    assert (found["logs"].desired, found["logs"].daemon) == (INSTANCES, True)


def test_a_drained_instance_is_seen_draining_and_its_tasks_until_they_have_stopped(aws: Aws) -> None:
    cluster = aws.cluster()
    before = [one.arn for one in cluster.tasks_of([aws.arn(0)])[aws.arn(0)]]
    assert cluster.set_status([aws.arn(0)], Status.DRAINING) == {aws.arn(0): Done()}
    [registration] = cluster.describe([aws.arn(0)]).registrations
    assert registration.status is Status.DRAINING
    aws.pass_time(minutes=10)
    [registration] = cluster.describe([aws.arn(0)]).registrations
    assert registration.running_tasks == 0
    assert cluster.stopping_on([aws.arn(0)])[aws.arn(0)] == ()
    assert cluster.stopped(before).keys() == set(before)


def test_all_instances_are_drained_and_returned_in_three_calls_of_ten_at_most(aws: Aws) -> None:
    cluster = aws.cluster()
    arns = [aws.arn(number) for number in range(INSTANCES)]
    for status in (Status.DRAINING, Status.ACTIVE):
        assert set(cluster.set_status(arns, status).values()) == {Done()}
    assert aws.calls["ecs:UpdateContainerInstancesState"] == 4


def test_an_instance_that_is_gone_is_reported_so_and_the_others_are_done(aws: Aws) -> None:
    gone, there = aws.arn(0), aws.arn(1)
    aws.world.terminate_instance(id_of(0))
    aws.pass_time(minutes=10)
    results = aws.cluster().set_status([gone, there], Status.DRAINING)
    assert isinstance(results[gone], Gone)
    assert results[there] == Done()


def test_a_claim_of_full_length_is_written_read_and_dropped(aws: Aws) -> None:
    cluster = aws.cluster()
    arns = [aws.arn(number) for number in range(INSTANCES)]
    assert set(cluster.put_attribute(CLAIM, dict.fromkeys(arns, LONGEST_CLAIM)).values()) == {Done()}
    found = cluster.list_all().registrations
    assert {registration.attributes.get(CLAIM) for registration in found} == {LONGEST_CLAIM}
    assert set(cluster.delete_attribute(CLAIM, arns).values()) == {Done()}
    assert not any(CLAIM in registration.attributes for registration in cluster.list_all().registrations)


def test_other_instances_are_claimed_if_one_has_no_room_for_an_attribute(aws: Aws) -> None:
    cluster = aws.cluster()
    arns = [aws.arn(number) for number in range(3)]
    for number in range(10):
        cluster.put_attribute(f"custom-{number}", {arns[1]: "x"})
    results = cluster.put_attribute(CLAIM, dict.fromkeys(arns, "1"))
    assert isinstance(results[arns[1]], Refused)
    assert results[arns[0]] == results[arns[2]] == Done()


def test_a_missing_permission_is_named(aws: Aws) -> None:
    aws.world.authorize = denying("ecs:PutAttributes")
    with pytest.raises(Denied) as denied:
        aws.cluster().put_attribute(CLAIM, {aws.arn(0): "1"})
    assert denied.value.action == "ecs:PutAttributes"


def test_the_tasks_of_a_family_are_found_oldest_first(aws: Aws) -> None:
    first = aws.world.run_fargate_task("updater")
    aws.pass_time(minutes=1)
    second = aws.world.run_fargate_task("updater")
    found = running_tasks_of_family(aws.ecs, aws.api, "demo", "updater")
    assert [one.arn for one in found] == [first.arn, second.arn]
    assert found[0].created_at < found[1].created_at


# Systems Manager


def test_every_host_is_reached(aws: Aws) -> None:
    reach = aws.hosts().reach(ids())
    assert {id_: reach[id_].reach for id_ in ids()} == dict.fromkeys(ids(), PingStatus.ONLINE)


def test_every_host_answers_a_check(aws: Aws) -> None:
    hosts = aws.hosts()
    answers = aws.check(hosts, INSTANCES)
    assert set(answers) == set(ids())
    for answer in answers.values():
        report = read_check(answer.exit_code, answer.stdout, answer.stderr)
        assert isinstance(report, HostReport)
        assert report.state is UpdateState.AVAILABLE


def test_the_end_of_an_apply_is_reported_and_shows_in_the_next_check(aws: Aws) -> None:
    hosts = aws.hosts()
    aws.check(hosts, 1)
    [command] = set(hosts.send(DocumentKind.APPLY, ids(1)).commands.values())
    assert aws.answers(hosts, command, DocumentKind.APPLY)[id_of(0)].end is CommandStatus.SUCCESS
    answer = aws.check(hosts, 1)[id_of(0)]
    report = read_check(answer.exit_code, answer.stdout, answer.stderr)
    assert isinstance(report, HostReport)
    assert report.state is UpdateState.READY


def test_other_hosts_get_their_command_if_systems_manager_does_not_know_one(aws: Aws) -> None:
    strange = InstanceId("i-00000000000000bad")
    sent = aws.hosts().send(DocumentKind.CHECK, [*ids(), strange])
    assert set(sent.refused) == {strange}
    assert set(sent.commands) == set(ids())


def test_a_document_that_does_not_exist_is_not_found(aws: Aws) -> None:
    with pytest.raises(NotFound, match="document no-such-document"):
        aws.hosts(check="no-such-document").send(DocumentKind.CHECK, ids())


def test_an_apply_that_a_dead_run_left_behind_is_found(aws: Aws) -> None:
    aws.check(aws.hosts(), 2)
    since = aws.world.clock.now()
    [command] = set(aws.hosts().send(DocumentKind.APPLY, ids(2)).commands.values())
    aws.pass_time(seconds=2)
    found = aws.hosts().commands_in_progress(DocumentKind.APPLY, since)
    assert {id_: pending.command for id_, pending in found.items()} == dict.fromkeys(ids(2), command)
    assert aws.hosts().commands_in_progress(DocumentKind.CHECK, since) == {}


def test_a_command_that_has_ended_is_not_in_progress(aws: Aws) -> None:
    since = aws.world.clock.now()
    hosts = aws.hosts()
    aws.check(hosts, 2)
    assert hosts.commands_in_progress(DocumentKind.CHECK, since) == {}


def test_a_command_that_is_cancelled_is_not_in_progress(aws: Aws) -> None:
    since = aws.world.clock.now()
    hosts = aws.hosts()
    aws.check(hosts, 1)
    [command] = set(hosts.send(DocumentKind.APPLY, ids(1)).commands.values())
    hosts.cancel(command, ids(1))
    aws.pass_time(minutes=30)
    assert hosts.commands_in_progress(DocumentKind.APPLY, since) == {}


# S3


def test_the_store_holds_its_conditions(aws: Aws) -> None:
    store = aws.store()
    assert store.get("lease") is None
    first = store.put("lease", b"mine", ABSENT)
    with pytest.raises(Conflict):
        store.put("lease", b"theirs", ABSENT)
    second = store.put("lease", b"renewed", first)
    with pytest.raises(Conflict):
        store.put("lease", b"late", first)
    stored = store.get("lease")
    assert stored is not None
    assert (stored.data, stored.tag) == (b"renewed", second)
    assert list(store.keys("")) == ["lease"]
    store.delete("lease", None)
    assert store.get("lease") is None


def test_the_store_says_when_there_is_no_bucket(aws: Aws) -> None:
    with pytest.raises(NotFound, match="bucket nowhere"):
        S3Store(aws.s3, aws.api, "nowhere").get("lease")


# Lost replies


@pytest.fixture
def losing(world: World) -> Aws:
    """A world in which the reply to every write call is lost."""

    def lose(service: str, operation: str, _: object) -> None:
        if operation in ("UpdateContainerInstancesState", "PutAttributes", "SendCommand"):
            raise ConnectionClosedError(endpoint_url=service)

    near = InProcessClients(world, after_call=lose)
    return Aws(world, Pair.of(near.ecs), Pair.of(near.ssm), Pair.of(near.s3))


def test_an_act_whose_reply_was_lost_is_unclear_and_the_next_look_shows_its_effect(losing: Aws) -> None:
    cluster = losing.cluster()
    assert isinstance(cluster.set_status([losing.arn(0)], Status.DRAINING)[losing.arn(0)], Unclear)
    assert isinstance(cluster.put_attribute(CLAIM, {losing.arn(0): "1"})[losing.arn(0)], Unclear)
    [registration] = cluster.describe([losing.arn(0)]).registrations
    assert registration.status is Status.DRAINING
    assert registration.attributes[CLAIM] == "1"


def test_a_command_whose_reply_was_lost_was_sent_once_and_is_found_in_progress(losing: Aws) -> None:
    since = losing.world.clock.now()
    sent = losing.hosts().send(DocumentKind.CHECK, ids(3))
    assert set(sent.unclear) == set(ids(3))
    assert losing.calls["ssm:SendCommand"] == 1
    losing.pass_time(seconds=1)
    assert set(losing.hosts().commands_in_progress(DocumentKind.CHECK, since)) == set(ids(3))


# Only over HTTP


def test_any_botocore_session_reads_what_the_gateway_wrote(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(world) as wire:
        for name, value in wire.environment().items():
            monkeypatch.setenv(name, value)
        clients = Clients(version="test")
        aws = Aws(world, clients.ecs, clients.ssm, clients.s3)
        aws.cluster().put_attribute(CLAIM, {aws.arn(0): "1"})
        other: Any = Session().create_client("ecs")
        found = other.list_attributes(cluster="demo", targetType="container-instance", attributeName=CLAIM)
        assert [attribute["targetId"] for attribute in found["attributes"]] == [aws.arn(0)]
        other.close()
        aws.ecs.acting.close()
