"""The world: hosts, ECS, SSM, EC2 and S3 of one account and Region, driven by one clock.

All AWS calls go through `World.call`. Everything else (people, faults) is a method below it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call, CallLog, Throttles, TokenBucket
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.aws_basics.service_models import answer_problems, request_problem
from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstance,
    ContainerInstanceSpec,
    ControlPlane,
    EcsTiming,
    Service,
    ServiceSpec,
    Task,
    Workload,
)
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.ecs.requests import Handler
from bottlerocket_ecs_updater.simulator.faults import (
    FaultPlan,
    PublicationMoves,
    TasksBreak,
)
from bottlerocket_ecs_updater.simulator.host import Host, HostSpec, Power
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.autoscaling import IN_SERVICE, AutoScaling
from bottlerocket_ecs_updater.simulator.services.calendars import ChangeCalendars
from bottlerocket_ecs_updater.simulator.services.cloudwatch import CloudWatch
from bottlerocket_ecs_updater.simulator.services.documents import STANDARD, DocumentStore
from bottlerocket_ecs_updater.simulator.services.ec2 import Ec2
from bottlerocket_ecs_updater.simulator.services.launch_templates import LaunchTemplates
from bottlerocket_ecs_updater.simulator.services.published import PublicParameters
from bottlerocket_ecs_updater.simulator.services.s3 import ObjectStore
from bottlerocket_ecs_updater.simulator.ssm import RunCommand, SsmTiming
from bottlerocket_ecs_updater.simulator.world.api_faults import ApiFaultsAtWork
from bottlerocket_ecs_updater.simulator.world.findings import Findings, UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.invariants import InvariantChecker
from bottlerocket_ecs_updater.simulator.world.managed_scaling import ManagedScaling
from bottlerocket_ecs_updater.simulator.world.people import People

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock


OPERATOR = "operator"
MANAGED_DRAINING = "managed draining"
SPOT_DRAINING = "ECS agent"

SPOT_NOTICE = timedelta(minutes=2)
"""From the notice of a Spot interruption to the end of the instance."""
NOBODY = "anonymous"


RUN_BEFORE = timedelta(hours=6)
"""How long a standalone task without an end has run when it is added."""


class World:
    """The whole simulation. Hold `clock.lock` to access it from another thread.

    Without `names`, the account depends on the seed: worlds with different seeds are in different accounts.
    """

    def __init__(  # noqa: PLR0913 - a world is described by keywords, and each has a default
        self,
        clock: WorldClock,
        seed: int = 0,
        *,
        names: Names | None = None,
        cluster: str = "demo",
        repository: Repository | None = None,
        faults: FaultPlan | None = None,
        ecs_timing: EcsTiming | None = None,
        ssm_timing: SsmTiming | None = None,
        rates: tuple[TokenBucket, ...] = (),
        budget: UpdaterLimits | None = None,
        documents: Mapping[str, str] = STANDARD,
        validate_answers: bool = False,
    ) -> None:
        self.clock = clock
        self.names = names or Names.of(seed)
        self.repository = repository or Repository()
        self.faults = faults or FaultPlan(seed=seed)
        self.hosts: dict[str, Host] = {}
        self.calls = CallLog()
        self.authorize: Callable[[Call], None] = lambda _: None
        self.api_faults = ApiFaultsAtWork(self.faults, clock.now(), self.names)
        self.documents = DocumentStore(clock, documents)
        # Each part has its own random numbers, so that a change in one part does not affect the others.
        self.ecs = ControlPlane(clock, self.names, _chances(seed, "ecs"), ecs_timing)
        self.ec2 = Ec2(clock)
        self.ssm = RunCommand(
            clock,
            _chances(seed, "ssm"),
            ssm_timing,
            self.documents.content,
            account=self.names.account,
            tags_of=self.ec2.tags_of,
        )
        self.launch_templates = LaunchTemplates(clock)
        self.autoscaling = AutoScaling(
            clock, self.names, self.ec2, self.launch_templates, _chances(seed, "autoscaling")
        )
        self.calendars = ChangeCalendars(clock, is_document=lambda name: self.documents.content(name) is not None)
        self.published = PublicParameters(clock, self.names, self.repository)
        self.cloudwatch = CloudWatch(clock, self.names)
        self.s3 = ObjectStore(clock)
        self.cluster = self.ecs.registry.create_cluster(cluster)
        self.scaling = ManagedScaling(self)
        self.watch = InvariantChecker(self, budget, operators=frozenset({OPERATOR, MANAGED_DRAINING, SPOT_DRAINING}))
        self.ecs.registry.breaks = self._breaks
        self.ecs.registry.gpus = lambda one: self.hosts[one.ec2_instance_id].health.gpus(one.spec.gpus)
        self.ecs.registry.health = lambda instance: self.hosts[instance.ec2_instance_id].health.status()
        self._seed = seed
        self._elsewhere: dict[str, World] = {}
        self._people = People(self)
        self._throttles = Throttles(rates)
        for fault in self.faults.world:
            if isinstance(fault, PublicationMoves):
                clock.after(fault.at, partial(self._move_publication, fault))
        self._validate_answers = validate_answers
        self._handlers: dict[str, dict[str, Handler]] = {
            "ecs": self.ecs.operations,
            "ssm": {
                **self.ssm.handlers(),
                **self.documents.handlers(),
                **self.calendars.handlers(),
                **self.published.handlers(),
            },
            "ec2": {**self.ec2.handlers(), **self.launch_templates.handlers()},
            "autoscaling": self.autoscaling.handlers(),
            "cloudwatch": self.cloudwatch.handlers(),
            "s3": self.s3.handlers(),
            "sts": {"GetCallerIdentity": self._caller_identity},
        }
        if self.api_faults.may_be_stale:
            self.ecs.reads.remember(lambda: self.api_faults.lag(self.clock.now()))

    def call(self, service: str, operation: str, params: Mapping[str, Any], caller: str | None = None) -> Shape:
        """Handle one AWS call.

        Raises AwsError if AWS would return an error, ReplyLostError if the reply is lost, and KilledError if the caller
        is killed.
        """
        with self.clock.lock:
            self.clock.pump()
            call = Call(self.calls.total + 1, self.clock.now(), service, operation, params, caller or NOBODY)
            self.calls.record(call)
            try:
                self.api_faults.before(call)
                spoiled, failures = self.api_faults.spoil(call)
                answer = self._serve(spoiled) if spoiled is not None else {}
                if failures:
                    answer = {**answer, "failures": [*answer.get("failures", ()), *failures]}
            except AwsError as error:
                self.calls.failed(call, error.code)
                self.api_faults.after_refusal(call)
                raise
            self.calls.succeeded(call)
            self.watch.served(call, answer)
            self._people.served(call)
            self.api_faults.after(call)
            return answer

    def overhear(self, service: str, operation: str, caller: str) -> Call:
        """Count a call that moto serves. Raises the same API faults as `call`."""
        with self.clock.lock:
            call = Call(self.calls.total + 1, self.clock.now(), service, operation, {}, caller)
            self.calls.record(call)
            try:
                self.api_faults.before(call)
            except AwsError as error:
                self.calls.failed(call, error.code)
                raise
            return call

    def overheard(self, call: Call) -> None:
        """Note that the call took effect. Raises what `call` would if its reply is lost."""
        with self.clock.lock:
            self.api_faults.after(call)

    def elsewhere(self, region: str) -> World:
        """ECS and Systems Manager in another Region of the account, initially empty."""
        with self.clock.lock:
            if region not in self._elsewhere:
                world = World(self.clock, names=replace(self.names, region=region))
                world.ecs.registry.clusters.clear()
                self._elsewhere[region] = world
            return self._elsewhere[region]

    def simulates(self, service: str, operation: str) -> bool:
        """Whether the world serves an operation."""
        return operation in self._handlers.get(service, ())

    def findings(self) -> Findings:
        """The observations so far."""
        with self.clock.lock:
            self.clock.pump()
            return self.watch.findings()

    # Building the world, and what people and faults do

    def add_instance(
        self, host: HostSpec, zone: str, *, bottlerocket: bool = True, spec: ContainerInstanceSpec | None = None
    ) -> ContainerInstance:
        """Add a container instance with its host: ACTIVE, connected and registered in SSM.

        The plan's faults for its id are added to those of `host`. With `bottlerocket=False` it runs another Linux: a
        container instance without the attribute, and without SSM.
        """
        host = replace(host, faults=(*host.faults, *self.faults.on(host.instance_id), *self.faults.of_versions))
        machine = Host(self.clock, host, self.repository, _chances(self._seed, host.instance_id))
        attributes: tuple[tuple[str, str], ...] = (("ecs.cpu-architecture", host.arch),)
        if bottlerocket:
            attributes = (*attributes, ("bottlerocket.variant", machine.variant))
        spec = spec or ContainerInstanceSpec(host.instance_id, zone, attributes)
        self.hosts[host.instance_id] = machine
        self.watch.follow(machine)
        instance = self.ecs.agents.register(self.cluster, spec)
        self.ec2.add(machine, zone, spec.instance_type, spec.ami_id)
        self._people.follow(machine)
        if bottlerocket:
            self.ssm.register(machine)
        return instance

    def add_service(self, spec: ServiceSpec) -> Service:
        """Add a service in its steady state, if there is room."""
        return self.ecs.services.add(self.cluster, spec)

    def run_standalone_task(self, instance_id: str, workload: Workload | None = None, family: str = "batch") -> Task:
        """Add a standalone task that is running on an instance, for some hours if it never ends by itself."""
        definition = self.ecs.registry.define(family, workload or Workload(), {"family": family})
        task = self.ecs.lifecycle.start(self.cluster, definition, self.instance(instance_id), already_running=True)
        if definition.workload.runs_for is None:
            task.created_at -= RUN_BEFORE
            task.started_at = task.created_at
        return task

    def run_fargate_task(self, family: str, started_by: str = "events-rule") -> Task:
        """Add a running task on Fargate, such as the updater itself."""
        definition = self.ecs.registry.define(family, Workload(), {"family": family})
        return self.ecs.lifecycle.start(self.cluster, definition, None, started_by=started_by, already_running=True)

    def operator_drain(self, *instance_ids: str) -> None:
        """Someone sets DRAINING by hand."""
        self._set_status(OPERATOR, "DRAINING", instance_ids)

    def operator_activate(self, *instance_ids: str) -> None:
        """Someone sets ACTIVE by hand."""
        for instance_id in instance_ids:
            self.watch.returned_by_hand(instance_id)
        self._set_status(OPERATOR, "ACTIVE", instance_ids)

    def stage_by_hand(self, instance_id: str, version: str) -> None:
        """Someone stages another version on a host, replacing a staged one, if there is still time."""
        host = self.hosts[instance_id]
        if host.power is Power.RUNNING:
            self.repository.publish(Release(version, host.variant, host.spec.arch))
            host.version_lock = version
            self.watch.staged_by_hand(instance_id)
            lines = ("apiclient update cancel || true", "apiclient update check", "apiclient update apply")
            host.execute(lines, lambda _: None, timedelta(minutes=30))

    def take_away(
        self, instance_id: str, *, hook: timedelta = timedelta(minutes=20), drains: bool = True, terminate: bool = True
    ) -> None:
        """The Auto Scaling group starts to terminate the instance, and a lifecycle hook delays that.

        With `drains`, ECS managed draining also sets it DRAINING. Without `terminate`, the hook is never completed.
        """
        if self.hosts[instance_id].power is Power.TERMINATED or self.autoscaling.takes_away(instance_id):
            return
        self.autoscaling.take_away(instance_id)
        if drains and self.instance(instance_id).status is InstanceStatus.ACTIVE:
            self._set_status(MANAGED_DRAINING, "DRAINING", [instance_id])
        if terminate:
            self.clock.after(hook, partial(self._complete_termination, instance_id))

    def interrupt(self, instance_id: str, *, drains: bool = True) -> None:
        """EC2 sends the notice of a Spot interruption, and terminates the instance two minutes later.

        With `drains`, its ECS agent sets it DRAINING, if it is running: `ECS_ENABLE_SPOT_INSTANCE_DRAINING`.
        """
        instance = self.instance(instance_id)
        if drains and instance.agent_up and instance.status is InstanceStatus.ACTIVE:
            self._set_status(SPOT_DRAINING, "DRAINING", [instance_id])
        self.clock.after(SPOT_NOTICE, partial(self.terminate_instance, instance_id))

    def deregister_by_hand(self, instance_id: str) -> None:
        """Someone deregisters the container instance with force, so that ECS stops no task on it."""
        instance = self.instance(instance_id)
        if instance.status is not InstanceStatus.INACTIVE:
            request = {"cluster": self.cluster.name, "containerInstance": instance.arn, "force": True}
            self._as(OPERATOR, self.ecs.operations["DeregisterContainerInstance"], request)

    def delete_claim(self, instance_id: str) -> None:
        """Someone deletes the attribute with an updater's claim, if there is one."""
        instance = self.instance(instance_id)
        if CLAIM_ATTRIBUTE in instance.custom:
            attributes = [{"name": CLAIM_ATTRIBUTE, "targetId": instance.arn}]
            request = {"cluster": self.cluster.name, "attributes": attributes}
            self.watch.claim_deleted_by_hand(instance_id)
            self._as(OPERATOR, self.ecs.operations["DeleteAttributes"], request)

    def _complete_termination(self, instance_id: str) -> None:
        self.autoscaling.set_lifecycle(instance_id, "Terminating:Proceed")
        self.terminate_instance(instance_id)

    def keep_warm(
        self, instance_id: str, *, hook: timedelta = timedelta(minutes=1), lasts: timedelta | None = None
    ) -> None:
        """The Auto Scaling group puts the instance into its warm pool, and into service again after `lasts`."""
        if self.hosts[instance_id].power is Power.TERMINATED or self.autoscaling.takes_away(instance_id):
            return
        self.autoscaling.take_away(instance_id, "Warmed:Pending:Wait")
        self.clock.after(hook, partial(self._stop_in_warm_pool, instance_id))
        if lasts is not None:
            self.clock.after(hook + lasts, partial(self._into_service, instance_id))

    def _stop_in_warm_pool(self, instance_id: str) -> None:
        if self.autoscaling.is_warm(instance_id):
            self.autoscaling.set_lifecycle(instance_id, "Warmed:Stopped")
            self.hosts[instance_id].stop()

    def _into_service(self, instance_id: str) -> None:
        if self.autoscaling.is_warm(instance_id) and self.hosts[instance_id].power is not Power.TERMINATED:
            self.autoscaling.set_lifecycle(instance_id, IN_SERVICE)
            self.hosts[instance_id].start()

    def scale_out(self, group: str, host: HostSpec, zone: str, spec: ContainerInstanceSpec | None = None) -> None:
        """A group launches another instance, which joins the cluster at once."""
        self.add_instance(host, zone, spec=spec)
        self.autoscaling.join(group, host.instance_id)

    def put_into_warm_pool(self, group: str, *instance_ids: str) -> None:
        """A group keeps these instances stopped in its warm pool. ECS keeps their registrations."""
        for instance_id in instance_ids:
            self.autoscaling.join(group, instance_id, "Warmed:Stopped")
            self.hosts[instance_id].stop()

    def stop_instance(self, instance_id: str) -> None:
        """Someone stops the EC2 instance. ECS keeps its registration."""
        self.hosts[instance_id].stop()

    def terminate_instance(self, instance_id: str) -> None:
        """An Auto Scaling group, or a person, terminates an instance."""
        self.hosts[instance_id].terminate()

    def instance(self, instance_id: str) -> ContainerInstance:
        """The newest registration of an EC2 instance."""
        return self.cluster.by_ec2[instance_id]

    def _move_publication(self, fault: PublicationMoves) -> None:
        if fault.version is None:
            self.published.say(None, fault.variant, fault.arch)
        else:
            self.published.name(fault.version, fault.variant, fault.arch)

    def _breaks(self, task: Task) -> TasksBreak | None:
        host = self.hosts.get(task.instance.ec2_instance_id) if task.instance is not None else None
        return host.health.breaks_tasks(task.group, gpus=task.workload.gpus > 0) if host is not None else None

    def _set_status(self, actor: str, status: str, instance_ids: Iterable[str]) -> None:
        for instance_id in instance_ids:
            request = {
                "cluster": self.cluster.name,
                "containerInstances": [self.instance(instance_id).arn],
                "status": status,
            }
            self._as(actor, self.ecs.operations["UpdateContainerInstancesState"], request)

    def _serve(self, call: Call) -> Shape:
        self._throttles.take(call)
        self.authorize(call)
        handler = self._handlers.get(call.service, {}).get(call.operation)
        if handler is None:
            raise AwsError("UnsupportedOperation", f"{call.action} is not simulated.", 400)
        problem = request_problem(call.service, call.operation, call.params)
        if problem is not None:
            raise AwsError(_REFUSALS.get(call.service, "ValidationException"), problem)
        self.watch.about_to_serve(call)
        answer = self._as(call.caller, handler, dict(call.params))
        if self._validate_answers:
            problems = answer_problems(call.service, call.operation, answer)
            assert not problems, f"{call.action} answers what its model does not allow: {problems}"
        return answer

    def _as(self, actor: str, handler: Handler, request: Shape) -> Shape:
        self.ecs.registry.actor = actor
        try:
            return handler(request)
        finally:
            self.ecs.registry.actor = None

    def _caller_identity(self, _: Shape) -> Shape:
        partition, account = self.names.partition, self.names.account
        return {"UserId": "AIDASIMULATED", "Account": account, "Arn": f"arn:{partition}:iam::{account}:root"}


_REFUSALS = {"ecs": "InvalidParameterException", "ec2": "InvalidParameterValue", "s3": "InvalidArgument"}


def _chances(seed: int, part: str) -> random.Random:
    # Reproducible chances of a simulated world, not secrets.
    return random.Random(f"{seed}/{part}")  # noqa: S311
