"""One ECS cluster: implements `engine.ports.Cluster`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from bottlerocket_ecs_updater.aws.ecs_shapes import MISSING, failures, registration, service
from bottlerocket_ecs_updater.aws.ecs_tasks import EcsTasks
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, keep_earlier_results, narrow
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused, NeverSent
from bottlerocket_ecs_updater.core.model.container_instance import LiveTask, Registration, Status, Task, TaskEnd
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.engine.ports import Clock, Done, Gone, Later, Listing, Refused, Result, Unclear
from bottlerocket_ecs_updater.errors import LeaseLapsed, Throttled, Unreachable

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import (
        AttributeTypeDef,
        ListContainerInstancesRequestTypeDef,
        ListServicesRequestTypeDef,
    )

DESCRIBE_INSTANCES_MAX = 100
DESCRIBE_SERVICES_MAX = 10
ACT_MAX = 10
"""Limit of instances per UpdateContainerInstancesState, and of attributes per PutAttributes and DeleteAttributes."""

SERVICES_LISTED_EVERY = timedelta(minutes=5)
"""How often services are listed: they rarely come and go. Their task counts are read on every look."""

SERVICES_LISTED_AGAIN = timedelta(seconds=30)
"""The shortest time between lists when a listed service is MISSING: the list may lag behind a deletion."""

STOP_REASON = "bottlerocket-ecs-updater: its instance is to be updated, and a rule says to stop it by now"

LEFT_OUT = "ECS left it out of its answer"
_GONE_REASONS = (MISSING, "INACTIVE")
_SETTABLE: Mapping[Status, Literal["ACTIVE", "DRAINING"]] = {Status.ACTIVE: "ACTIVE", Status.DRAINING: "DRAINING"}
_TARGET: Literal["container-instance"] = "container-instance"

StatusChange = Callable[[Sequence[ContainerInstanceArn]], Mapping[ContainerInstanceArn, Result]]


class EcsCluster:
    """Implements `engine.ports.Cluster` for a cluster's name or ARN."""

    def __init__(
        self,
        clients: Pair[ECSClient],
        api: Api,
        clock: Clock,
        cluster: str,
        services_listed_every: timedelta = SERVICES_LISTED_EVERY,
    ) -> None:
        self._clients = clients
        self._api = api
        self._clock = clock
        self._cluster = cluster
        self._services_listed_every = services_listed_every
        self._services_listed_at: datetime | None = None
        self._service_arns: Sequence[str] = ()
        self._services: Mapping[ServiceArn, Service] = {}
        """As last described."""
        self._daemons: frozenset[str] = frozenset()
        self._listed: frozenset[str] = frozenset()
        """The names of the services in the last listing."""
        self._strange: set[str] = set()
        """Services that tasks name but no list contained. Each triggers one more list."""
        self._looked_for: set[str] = set()
        self._tasks = EcsTasks(clients, api, cluster, self._is_daemon)

    # Container instances

    def list_all(self) -> Listing:
        """Describe all container instances. Without a status filter, ECS leaves out only INACTIVE ones."""
        request: ListContainerInstancesRequestTypeDef = {"cluster": self._cluster, "maxResults": 100}
        method = self._clients.looking.list_container_instances
        replies = self._api.look_at_pages(Operation.LIST_CONTAINER_INSTANCES, self._cluster, method, request)
        arns = (arn for reply in replies for arn in reply.get("containerInstanceArns", ()))
        return self.describe([ContainerInstanceArn(arn) for arn in arns])

    def describe(self, arns: Sequence[ContainerInstanceArn]) -> Listing:
        """Describe these container instances, 100 a call. If ECS fails to describe one, returns the reason for it."""
        described: dict[ContainerInstanceArn, Registration | str] = {}
        for some in chunks(arns, DESCRIBE_INSTANCES_MAX):
            described |= narrow(some, self._describe, lambda _, refusal: str(refusal))
        return Listing(
            tuple(found for found in described.values() if isinstance(found, Registration)),
            {arn: found for arn, found in described.items() if isinstance(found, str)},
        )

    def _describe(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, Registration | str]:
        at = self._clock.now()
        reply = self._api.look(
            Operation.DESCRIBE_CONTAINER_INSTANCES,
            self._cluster,
            self._clients.looking.describe_container_instances,
            cluster=self._cluster,
            containerInstances=arns,
            include=["CONTAINER_INSTANCE_HEALTH"],
        )
        failed = failures(reply.get("failures"))
        found: dict[ContainerInstanceArn, Registration | str] = {arn: failed.get(arn, LEFT_OUT) for arn in arns}
        for shape in reply.get("containerInstances", ()):
            arn = ContainerInstanceArn(shape.get("containerInstanceArn", ""))
            try:
                found[arn] = registration(shape, at)
            except ValueError as error:
                found[arn] = str(error)
        return found

    # Tasks and services

    def all_tasks(self) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """All tasks with desired status RUNNING, by container instance. Only new tasks are described."""
        return self._tasks.everywhere()

    def tasks_of(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks on these container instances whose desired status is RUNNING."""
        return self._tasks.running_on(arns)

    def stopping_on(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks on these container instances whose desired status is STOPPED but which are still running."""
        return self._tasks.stopping_on(arns)

    def stopped(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime | None]:
        """The tasks among these that have stopped, on any host, and when. 100 a call."""
        return self._tasks.stopped(tasks)

    def ended_of(self, service: str) -> Sequence[TaskEnd]:
        """How a service's tasks ended, for tasks that ECS still lists as stopped (about an hour)."""
        return self._tasks.ended_of(service)

    def alive_of(self, service: str) -> Sequence[LiveTask]:
        """The tasks of a service that should run, with their times."""
        return self._tasks.alive(service=service)

    def alive_on(self, arn: ContainerInstanceArn) -> Sequence[LiveTask]:
        """The tasks on a container instance that should run, with their times."""
        return self._tasks.alive(instance=arn)

    def services(self) -> tuple[Service, ...]:
        """All services of the cluster. They are listed every few minutes, and when a task names an unknown service."""
        now = self._clock.now()
        strange = self._strange - self._looked_for
        self._looked_for |= strange
        self._list_services(now, timedelta(0) if strange else self._services_listed_every)
        described = self._describe_services(self._service_arns)
        missing = any(isinstance(one, str) and one.startswith(MISSING) for one in described.values())
        if missing and self._list_services(now, SERVICES_LISTED_AGAIN):
            # It was probably deleted after the last list. List again to find out.
            left = [arn for arn in self._service_arns if not isinstance(described.get(arn), Service)]
            again = self._describe_services(left)
            described = {arn: again[arn] if arn in again else described[arn] for arn in self._service_arns}
        known = (self._known_or_not(arn, one) for arn, one in described.items())
        self._services = {one.arn: one for one in known if one is not None}
        self._daemons = frozenset(one.name for one in self._services.values() if one.daemon)
        return tuple(self._services.values())

    def _known_or_not(self, arn: str, found: Service | str | None) -> Service | None:
        """A service that was listed but not described: its last known state, marked as unknown."""
        if not isinstance(found, str):
            return found
        before = self._services.get(ServiceArn(arn)) or Service(ServiceArn(arn), name_in(arn), 0, 0)
        return replace(before, unknown=found)

    def _describe_services(self, arns: Sequence[str]) -> Mapping[str, Service | str | None]:
        """Describe these services, ten a call: None if it is deleted, the reason if ECS does not describe it."""
        described: dict[str, Service | str | None] = {}
        for some in chunks(arns, DESCRIBE_SERVICES_MAX):
            described |= narrow(some, self._describe_some_services, lambda _, refusal: str(refusal))
        return described

    def _describe_some_services(self, arns: Sequence[str]) -> Mapping[str, Service | str | None]:
        method, at = self._clients.looking.describe_services, self._clock.now()
        reply = self._api.look(Operation.DESCRIBE_SERVICES, self._cluster, method, cluster=self._cluster, services=arns)
        # Old service ARNs do not contain the cluster. A name is unique in a cluster, so match by name.
        failed = {name_in(arn): why for arn, why in failures(reply.get("failures")).items()}
        shapes = {name_in(shape.get("serviceArn", "")): shape for shape in reply.get("services", ())}
        return {
            arn: service(shapes[name], at) if (name := name_in(arn)) in shapes else failed.get(name, LEFT_OUT)
            for arn in arns
        }

    def _is_daemon(self, service: str) -> bool:
        if service and service not in self._listed:
            self._strange.add(service)
        return service in self._daemons

    def _list_services(self, now: datetime, at_least: timedelta) -> bool:
        """List services unless they were listed less than `at_least` ago. Returns whether they were listed."""
        listed_at = self._services_listed_at
        if listed_at is not None and now - listed_at < at_least:
            return False
        request: ListServicesRequestTypeDef = {"cluster": self._cluster, "maxResults": 100}
        method = self._clients.looking.list_services
        replies = self._api.look_at_pages(Operation.LIST_SERVICES, self._cluster, method, request)
        self._service_arns = [arn for reply in replies for arn in reply.get("serviceArns", ())]
        self._listed = frozenset(map(name_in, self._service_arns))
        self._services_listed_at = now
        return True

    # Acts

    def set_status(self, arns: Sequence[ContainerInstanceArn], status: Status) -> Mapping[ContainerInstanceArn, Result]:
        """Set ACTIVE or DRAINING, ten a call. Raises Denied and NotFound."""
        target = _SETTABLE[status]

        def send(some: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, Result]:
            reply = self._api.act(
                Operation.UPDATE_CONTAINER_INSTANCES_STATE,
                self._cluster,
                self._clients.acting.update_container_instances_state,
                cluster=self._cluster,
                containerInstances=some,
                status=target,
            )
            done = {shape.get("containerInstanceArn") for shape in reply.get("containerInstances", ())}
            failed = failures(reply.get("failures"))
            return {arn: _confirmed(arn in done, failed.get(arn)) for arn in some}

        return _act(arns, send)

    def stop_tasks(self, tasks: Sequence[TaskArn]) -> None:
        """Stop these tasks, one a call. Raises Denied; the next look shows any other failure."""
        for task in tasks:
            with suppress(CallRefused, Throttled, Unreachable):
                self._api.act(
                    Operation.STOP_TASK,
                    self._cluster,
                    self._clients.acting.stop_task,
                    cluster=self._cluster,
                    task=task,
                    reason=STOP_REASON,
                )

    def put_attribute(
        self, name: str, values: Mapping[ContainerInstanceArn, str]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Write one custom attribute on each, ten a call. Raises Denied and NotFound."""

        def send(some: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, Result]:
            attributes: list[AttributeTypeDef] = [
                {"name": name, "value": values[arn], "targetType": _TARGET, "targetId": arn} for arn in some
            ]
            method = self._clients.acting.put_attributes
            self._api.act(Operation.PUT_ATTRIBUTES, self._cluster, method, cluster=self._cluster, attributes=attributes)
            return dict.fromkeys(some, Done())

        return _act(list(values), send)

    def delete_attribute(
        self, name: str, arns: Sequence[ContainerInstanceArn]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Remove one custom attribute from each, ten a call. Raises Denied and NotFound."""

        def send(some: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, Result]:
            attributes: list[AttributeTypeDef] = [
                {"name": name, "targetType": _TARGET, "targetId": arn} for arn in some
            ]
            self._api.act(
                Operation.DELETE_ATTRIBUTES,
                self._cluster,
                self._clients.acting.delete_attributes,
                cluster=self._cluster,
                attributes=attributes,
            )
            return dict.fromkeys(some, Done())

        return _act(arns, send)


def name_in(arn: str) -> str:
    """The name of a service in its ARN."""
    return arn.rsplit("/", 1)[-1]


def _act(arns: Iterable[ContainerInstanceArn], send: StatusChange) -> Mapping[ContainerInstanceArn, Result]:
    """Send in batches. If a batch fails, the failure is the result of each instance in it.

    Raises Denied and NotFound only if nothing took effect.
    """

    def attempt(some: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, Result]:
        try:
            return send(some)
        except (Throttled, NeverSent, LeaseLapsed) as error:
            # The next look raises a lapsed lease again. Returning here keeps the results of earlier batches.
            return dict.fromkeys(some, Later(str(error)))
        except Unreachable as error:
            return dict.fromkeys(some, Unclear(str(error)))

    results: dict[ContainerInstanceArn, Result] = {}
    attempt_batch = keep_earlier_results(attempt)
    for some in chunks(list(dict.fromkeys(arns)), ACT_MAX):
        results |= narrow(some, attempt_batch, _refused)
    return results


def _refused(_: ContainerInstanceArn, refusal: CallRefused) -> Result:
    return Gone(str(refusal)) if refusal.code == "TargetNotFoundException" else Refused(str(refusal))


def _confirmed(done: bool, failure: str | None) -> Result:  # noqa: FBT001 - two facts of one reply
    if failure is not None:
        return Gone(failure) if failure.startswith(_GONE_REASONS) else Refused(failure)
    return Done() if done else Unclear(LEFT_OUT)
