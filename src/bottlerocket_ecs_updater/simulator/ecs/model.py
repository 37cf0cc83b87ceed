"""What ECS keeps: clusters, container instances, tasks, services, and their indices."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.core.model.container_instance import EXTERNAL_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.resources import EXECUTE_COMMAND_ATTRIBUTE, SERVICE_CONNECT_ATTRIBUTE
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
from bottlerocket_ecs_updater.simulator.ecs.attachments import HOST_VOLUMES, interfaces_of, volume_limit
from bottlerocket_ecs_updater.simulator.ecs.placement import Placement
from bottlerocket_ecs_updater.simulator.ecs.specs import (
    ContainerInstanceSpec,
    ProviderShare,
    Rollout,
    Spreading,
    Strategy,
    TaskLaunch,
    Way,
    Workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bottlerocket_ecs_updater.simulator.clock import Timer

EVENTS_KEPT = 100
"""DescribeServices shows the 100 newest events of a service."""


class InstanceStatus(StrEnum):
    """Of a container instance."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    INACTIVE = "INACTIVE"


SETTABLE = frozenset({InstanceStatus.ACTIVE, InstanceStatus.DRAINING})
"""Only between these two does UpdateContainerInstancesState change an instance."""


class Desired(StrEnum):
    """A task's desired status."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Last(StrEnum):
    """A task's last status."""

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


@dataclass(slots=True, eq=False)
class CapacityProvider:
    """A capacity provider of a cluster."""

    name: str
    group_arn: str = ""
    """Its Auto Scaling group; empty for Managed Instances."""
    scaling: bool = True
    """Whether its managed scaling is on."""
    termination_protection: bool = False
    draining: bool = True
    status: str = "ACTIVE"

    @property
    def managed(self) -> bool:
        """Whether its instances are ECS Managed Instances."""
        return not self.group_arn


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """One revision of a family."""

    arn: str
    family: str
    revision: int
    workload: Workload
    registered_at: datetime
    registered: Shape = field(default_factory=dict)
    """The remaining fields of the RegisterTaskDefinition request."""


@dataclass(slots=True, eq=False)
class ContainerInstance:
    """A registered instance. `agent_up` is the real state, `agent_connected` what ECS shows."""

    arn: str
    number: int
    cluster: Cluster
    spec: ContainerInstanceSpec
    registered_at: datetime
    built_in: dict[str, str | None]
    custom: dict[str, str | None]
    status: InstanceStatus = InstanceStatus.ACTIVE
    agent_up: bool = True
    agent_connected: bool = True
    version: int = 1
    tasks: dict[str, Task] = field(default_factory=dict)
    """Those that are not STOPPED."""
    ended: dict[str, Task] = field(default_factory=dict)
    """Those that are STOPPED and still visible."""
    free_cpu: int = 0
    free_memory: int = 0
    free_gpus: int = 0
    gpus: int = 0
    """Those that its agent registered last."""
    ports: set[int] = field(default_factory=set)
    interfaces: int = 0
    """Network interfaces in use by tasks."""
    volumes: int = 0
    """EBS volumes in use by tasks."""
    drained_by: str | None = None
    """Who set DRAINING, while it is DRAINING."""
    connection_timer: Timer | None = None

    @property
    def ec2_instance_id(self) -> str:
        return self.spec.ec2_instance_id

    @property
    def zone(self) -> str:
        return self.spec.zone

    @property
    def launch(self) -> TaskLaunch:
        """What kind of instance it is."""
        provider = self.cluster.providers.get(self.spec.capacity_provider)
        if EXTERNAL_ATTRIBUTE in self.built_in:
            return TaskLaunch.EXTERNAL
        return TaskLaunch.MANAGED_INSTANCES if provider is not None and provider.managed else TaskLaunch.EC2

    @property
    def interfaces_left(self) -> int:
        """Network interfaces available for tasks."""
        return interfaces_of(self.spec.instance_type) - 1 - self.interfaces

    @property
    def volumes_left(self) -> int:
        """EBS volumes that can still be attached for tasks."""
        limit = volume_limit(self.spec.instance_type)
        return limit.most - HOST_VOLUMES - self.volumes - (1 + self.interfaces if limit.shared else 0)

    @property
    def accepts_tasks(self) -> bool:
        """Whether ECS places tasks on it."""
        return self.status is InstanceStatus.ACTIVE and self.agent_connected

    def has_room_for(self, work: Workload) -> bool:
        """Whether CPU, memory, GPUs, host ports and attributes are sufficient."""
        return self.shortage(work) is None

    def shortage(self, work: Workload) -> str | None:
        """What is missing for a task, as in RunTask's failures; None if there is room."""
        if not all(name in self.custom or name in self.built_in for name in work.required_attributes):
            return "ATTRIBUTE"
        if not work.awsvpc and not self.ports.isdisjoint(work.host_ports):
            return "RESOURCE:PORTS"
        if self.free_cpu < work.cpu:
            return "RESOURCE:CPU"
        if self.free_memory < work.memory:
            return "RESOURCE:MEMORY"
        if work.awsvpc and self.interfaces_left < 1:
            return "RESOURCE:ENI"
        if work.ebs and self.volumes_left < 1:
            return "RESOURCE:EBS"
        return "RESOURCE:GPU" if self.free_gpus < work.gpus else None


def subnet_of(zone: str) -> str:
    """The subnet of all instances in a zone. A task's network interface must be in the zone of its instance."""
    return f"subnet-{zone}"


class Bucket(Enum):
    """How the service scheduler classifies a task. 'Leaving': on a draining instance, or of an old deployment."""

    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    HEALTHY = "healthy"
    LEAVING_STARTING = "leaving-starting"
    LEAVING_UNHEALTHY = "leaving-unhealthy"
    LEAVING_HEALTHY = "leaving-healthy"
    STOPPING = "stopping"


@dataclass(slots=True, eq=False)
class Task:
    """A task, from its placement until it is dropped an hour after it stopped."""

    arn: str
    number: int
    cluster: Cluster
    definition: TaskDefinition
    instance: ContainerInstance | None
    """None on Fargate."""
    service: Service | None
    group: str
    started_by: str
    created_at: datetime
    launch: TaskLaunch = TaskLaunch.EC2
    deployment: str = ""
    provider: str = ""
    """The capacity provider that placed it."""
    desired: Desired = Desired.RUNNING
    last: Last = Last.PROVISIONING
    healthy: bool = False
    containers_dead: bool = False
    """Its containers died with the host, and ECS does not know yet."""
    version: int = 1
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str = ""
    stopped_reason: str = ""
    exit_code: int | None = None
    protected_until: datetime | None = None
    timer: Timer | None = None
    bucket: Bucket | None = None
    tags: list[Shape] = field(default_factory=list)
    overrides: Shape = field(default_factory=dict)
    gpus: int = 0
    """How many GPUs of its instance it has."""

    @property
    def workload(self) -> Workload:
        return self.definition.workload

    @property
    def is_daemon(self) -> bool:
        return self.service is not None and self.service.strategy is Strategy.DAEMON


@dataclass(slots=True, eq=False)
class Deployment:
    """One rollout of a service."""

    id: str
    definition: TaskDefinition
    created_at: datetime
    updated_at: datetime
    completed: bool = False
    failed: bool = False
    """The circuit breaker stopped it."""
    failed_tasks: int = 0
    """Consecutive failed tasks."""
    steady_at: datetime | None = None
    """When its tasks were first steady: the bake time starts then."""
    beside_primary: bool = False
    """Whether it is a task set that runs beside another until one of them is deleted."""


@dataclass(slots=True, eq=False)
class Service:
    """A service, its deployments (primary first), and its tasks by bucket."""

    arn: str
    number: int
    name: str
    cluster: Cluster
    desired: int
    strategy: Strategy
    minimum_healthy_percent: int
    maximum_percent: int
    load_balanced: bool
    created_at: datetime
    deployments: list[Deployment]
    status: str = "ACTIVE"
    buckets: dict[Bucket, dict[str, Task]] = field(default_factory=lambda: {bucket: {} for bucket in Bucket})
    zones: Counter[str] = field(default_factory=Counter)
    """Staying tasks per zone."""
    ended: dict[str, Task] = field(default_factory=dict)
    events: deque[tuple[str, datetime, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    steady: bool = False
    distinct_instances: bool = False
    member_of: str = ""
    suits: Callable[[ContainerInstance], bool] = lambda _: True
    """Whether its placement constraints allow an instance, apart from its tasks."""
    blocked: bool = False
    """It found no room for a task, and is woken when there may be room."""
    registered: Shape = field(default_factory=dict)
    """The remaining fields of the CreateService request."""
    launch: TaskLaunch = TaskLaunch.EC2
    providers: tuple[str, ...] = ()
    shares: tuple[ProviderShare, ...] = ()
    spreading: Spreading = Spreading.SPREAD
    subnets: tuple[str, ...] = ()
    """Where ECS creates the network interfaces of its tasks; empty for anywhere."""
    rollout: Rollout = field(default_factory=Rollout)
    rebalanced_every: timedelta | None = None
    execute_command: bool = False
    service_connect: bool = False
    primary_task_set: str = ""
    """The primary task set; empty for the oldest one."""
    failed_starts: int = 0
    """Consecutive tasks that failed to start."""
    starts_again_at: datetime | None = None
    """No task is started before this time, because earlier ones failed to start; None if none did."""

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its tasks run off the cluster's container instances."""
        if self.providers:
            return FARGATE_PROVIDERS.issuperset(self.providers)
        if self.launch is TaskLaunch.EC2:
            return False
        return all(instance.launch is not self.launch for instance in self.cluster.instances.values())

    @property
    def task_launch(self) -> TaskLaunch:
        """Where its tasks run."""
        return TaskLaunch.FARGATE if self.providers and self.runs_elsewhere else self.launch

    @property
    def baking(self) -> bool:
        """Whether a deployment still keeps the previous deployment's tasks."""
        newest = self.deployments[0]
        both = self.rollout.way is not Way.ROLLING or newest.beside_primary
        return both and len(self.deployments) > 1 and not newest.failed

    def count(self, *buckets: Bucket) -> int:
        return sum(len(self.buckets[bucket]) for bucket in buckets)

    @property
    def staying(self) -> int:
        return self.count(Bucket.STARTING, Bucket.UNHEALTHY, Bucket.HEALTHY)

    @property
    def leaving(self) -> int:
        return self.count(Bucket.LEAVING_STARTING, Bucket.LEAVING_UNHEALTHY, Bucket.LEAVING_HEALTHY)

    @property
    def healthy(self) -> int:
        return self.count(Bucket.HEALTHY, Bucket.LEAVING_HEALTHY)

    @property
    def running(self) -> int:
        return self.healthy + self.count(Bucket.UNHEALTHY, Bucket.LEAVING_UNHEALTHY)

    @property
    def pending(self) -> int:
        return self.count(Bucket.STARTING, Bucket.LEAVING_STARTING)

    def may_go_to(self, instance: ContainerInstance) -> bool:
        """Whether its placement constraints allow another of its tasks on an instance."""
        taken = self.distinct_instances and any(
            task.service is self and task.desired is Desired.RUNNING for task in instance.tasks.values()
        )
        reached = not self.subnets or subnet_of(instance.zone) in self.subnets
        able = all(name in instance.built_in for name in self.needs)
        return able and not taken and reached and self.runs_on(instance) and self.suits(instance)

    @property
    def needs(self) -> Iterable[str]:
        """The attributes that ECS requires on an instance for what the service has turned on."""
        if self.execute_command:
            yield EXECUTE_COMMAND_ATTRIBUTE
        if self.service_connect:
            yield SERVICE_CONNECT_ATTRIBUTE

    def runs_on(self, instance: ContainerInstance) -> bool:
        """Whether ECS may place its tasks on an instance, apart from room and constraints.

        Launch type EC2 allows any EC2 instance of the cluster, whatever its capacity provider.
        """
        if self.providers:
            return instance.spec.capacity_provider in self.providers
        return instance.launch is self.launch

    def next_provider(self) -> str:
        """The capacity provider for its next task: bases first, then by weight; empty if it has a launch type."""
        if not self.providers:
            return ""
        have = Counter(task.provider for task in self.live_tasks() if task.desired is Desired.RUNNING)
        by_provider = {share.provider: share for share in self.shares}
        shares = [by_provider.get(name) or ProviderShare(name) for name in self.providers]
        short = [share for share in shares if have[share.provider] < share.base]
        if short:
            return short[0].provider
        weighed = [share for share in shares if share.weight] or shares
        least = min(weighed, key=lambda share: (have[share.provider] - share.base) / (share.weight or 1))
        return least.provider

    def live_tasks(self) -> list[Task]:
        """All tasks that are not STOPPED, in start order."""
        live = [task for tasks in self.buckets.values() for task in tasks.values()]
        return sorted(live, key=lambda task: task.number)


@dataclass(slots=True, eq=False)
class Cluster:
    """One cluster and its contents."""

    arn: str
    name: str
    instances: dict[str, ContainerInstance] = field(default_factory=dict)
    by_ec2: dict[str, ContainerInstance] = field(default_factory=dict)
    """The newest registration of each EC2 instance."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """Live tasks, and stopped ones that are still visible."""
    stopped: deque[Task] = field(default_factory=deque)
    """Ordered by stop time."""
    services: dict[str, Service] = field(default_factory=dict)
    placement: Placement = field(default_factory=Placement)
    providers: dict[str, CapacityProvider] = field(default_factory=dict)
    tags: list[Shape] = field(default_factory=list)
