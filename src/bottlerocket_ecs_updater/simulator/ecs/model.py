"""What ECS remembers: clusters, container instances, tasks, services, and the indices over them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.ecs.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.clock import Timer

Shape = dict[str, Any]
"""A request or an answer, as botocore's models describe it."""

EVENTS_KEPT = 100
"""DescribeServices shows the 100 newest events of a service."""


class Status(StrEnum):
    """Of a container instance."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    INACTIVE = "INACTIVE"


SETTABLE = frozenset({Status.ACTIVE, Status.DRAINING})
"""Only between these two does UpdateContainerInstancesState change an instance."""


class Desired(StrEnum):
    """What ECS wants of a task."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Last(StrEnum):
    """What ECS last heard of a task."""

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


class Strategy(StrEnum):
    """How a service spreads its tasks."""

    REPLICA = "REPLICA"
    DAEMON = "DAEMON"


class Launch(StrEnum):
    """What a task runs on."""

    EC2 = "EC2"
    FARGATE = "FARGATE"
    EXTERNAL = "EXTERNAL"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"


FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})
"""The capacity providers that every cluster may use, and that run tasks on no container instance."""

EXTERNAL_ATTRIBUTE = "ecs.capability.external"
EBS_VOLUMES = 27
"""How many EBS volumes tasks can have on one instance: 28 attachments of a Nitro instance, less its own."""

INTERFACES = {
    "t3.micro": 2,
    "t3.medium": 3,
    "m6i.large": 3,
    "m6i.xlarge": 4,
    "m6i.2xlarge": 4,
    "m6i.4xlarge": 8,
    "c6i.large": 3,
    "c6i.xlarge": 4,
}
"""Network interfaces by instance type, the primary one among them. Source: "Maximum IP addresses per interface"."""

OTHER_INTERFACES = 4


class Spreading(StrEnum):
    """The placement strategy of a service, the first of them."""

    SPREAD = "spread"
    """Over zones, then over instances."""
    BINPACK = "binpack"
    """On the instance with the least memory left."""
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """How much of a service one capacity provider of its strategy gets."""

    provider: str
    weight: int = 1
    base: int = 0


@dataclass(slots=True, eq=False)
class CapacityProvider:
    """A capacity provider of a cluster."""

    name: str
    group_arn: str = ""
    """Its Auto Scaling group, empty for Managed Instances."""
    scaling: bool = True
    """Whether its managed scaling is on."""
    termination_protection: bool = False
    draining: bool = True
    status: str = "ACTIVE"

    @property
    def managed(self) -> bool:
        """Whether its instances are ECS Managed Instances."""
        return not self.group_arn


class Controller(StrEnum):
    """Who runs the deployments of a service; all but ECS itself work with task sets."""

    ECS = "ECS"
    CODE_DEPLOY = "CODE_DEPLOY"
    EXTERNAL = "EXTERNAL"


class Way(StrEnum):
    """How a deployment replaces the tasks of a service."""

    ROLLING = "ROLLING"
    BLUE_GREEN = "BLUE_GREEN"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a service is deployed, and for how long a deployment lasts after its new tasks are steady."""

    way: Way = Way.ROLLING
    controller: Controller = Controller.ECS
    bake: timedelta = timedelta()
    """How long both revisions stay after the traffic has moved; with CANARY and LINEAR after each step."""
    steps: int = 1
    """In how many steps the traffic moves."""
    pause: timedelta = timedelta()
    """For how long a hook of the type PAUSE holds the deployment."""
    circuit_breaker: bool = False
    """Whether a deployment whose tasks fail again and again becomes FAILED."""
    never_ends: bool = False
    """Whether a deployment stays in progress for ever."""

    @property
    def lasts(self) -> timedelta:
        """How long a deployment goes on after all of its tasks are steady."""
        return self.pause + self.steps * self.bake


@dataclass(frozen=True, slots=True)
class Workload:
    """What one task needs, and how it behaves in the simulated world."""

    cpu: int = 256
    memory: int = 256
    host_ports: tuple[int, ...] = ()
    gpus: int = 0
    required_attributes: tuple[str, ...] = ()
    """Names of attributes without which an instance cannot run it."""
    shutdown: timedelta = timedelta(seconds=2)
    """How long it takes to end after SIGTERM; `stop_timeout` cuts it short."""
    stop_timeout: timedelta = timedelta(seconds=30)
    deregistration_delay: timedelta = timedelta()
    """How long a load balancer takes to let go of it before it is stopped; 0 without a load balancer."""
    healthy_after: timedelta = timedelta()
    """From RUNNING until the load balancer finds it healthy."""
    never_stops: bool = False
    """Its containers cannot be killed, as with a hung mount: it is STOPPING for ever."""
    runs_for: timedelta | None = None
    """After how long it ends by itself, as a batch job does; None for never."""
    exit_code: int = 0
    """With what it ends by itself: not 0 for one that crashes."""
    fails_to_start: str = ""
    """Why none of its tasks ever starts, in ECS's words; empty where they do."""
    awsvpc: bool = False
    """Whether it has a network interface of its own; it takes no port of the host then."""
    ebs: bool = False
    """Whether it has an EBS volume of its own."""
    member_of: str = ""
    """A placement constraint of its task definition."""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """One revision of a family."""

    arn: str
    family: str
    revision: int
    workload: Workload
    registered_at: datetime
    registered: Shape = field(default_factory=dict)
    """The rest of what RegisterTaskDefinition was given."""


@dataclass(frozen=True, slots=True)
class ContainerInstanceSpec:
    """A container instance at the moment when it registers."""

    ec2_instance_id: str
    zone: str
    attributes: tuple[tuple[str, str | None], ...] = ()
    """What the agent sends besides what every instance has, such as `bottlerocket.variant`."""
    instance_type: str = "m6i.large"
    ami_id: str = "ami-0123456789abcdef0"
    cpu: int = 2048
    memory: int = 7680
    gpus: int = 0
    agent_version: str = "1.89.2"
    capacity_provider: str = ""
    """The capacity provider of its Auto Scaling group; empty where it has none."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service as CreateService takes it, with its workload."""

    name: str
    desired: int = 1
    workload: Workload = Workload()
    strategy: Strategy = Strategy.REPLICA
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    load_balanced: bool = False
    family: str = ""
    """Of its task definition; the service's name when empty."""
    distinct_instances: bool = False
    """Placement constraint: no two tasks on one instance."""
    member_of: str = ""
    """Placement constraint: only where this expression of the cluster query language holds."""
    launch: Launch = Launch.EC2
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy, which takes the place of the launch type."""
    shares: tuple[ProviderShare, ...] = ()
    """Weights and bases of its providers; those of which it says nothing have weight 1 and base 0."""
    spreading: Spreading = Spreading.SPREAD
    rollout: Rollout = Rollout()


@dataclass(slots=True, eq=False)
class ContainerInstance:
    """A registered instance. `agent_up` is the truth, `agent_connected` what ECS believes."""

    arn: str
    number: int
    cluster: Cluster
    spec: ContainerInstanceSpec
    registered_at: datetime
    built_in: dict[str, str | None]
    custom: dict[str, str | None]
    status: Status = Status.ACTIVE
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
    ports: set[int] = field(default_factory=set)
    interfaces: int = 0
    """Network interfaces that tasks have."""
    volumes: int = 0
    """EBS volumes that tasks have."""
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
    def launch(self) -> Launch:
        """What kind of instance it is."""
        provider = self.cluster.providers.get(self.spec.capacity_provider)
        if EXTERNAL_ATTRIBUTE in self.built_in:
            return Launch.EXTERNAL
        return Launch.MANAGED_INSTANCES if provider is not None and provider.managed else Launch.EC2

    @property
    def interfaces_left(self) -> int:
        """Network interfaces that it has for tasks."""
        return INTERFACES.get(self.spec.instance_type, OTHER_INTERFACES) - 1 - self.interfaces

    @property
    def accepts_tasks(self) -> bool:
        """Whether ECS places tasks on it."""
        return self.status is Status.ACTIVE and self.agent_connected

    def has_room_for(self, work: Workload) -> bool:
        """Whether CPU, memory, GPUs, host ports and attributes suffice."""
        return self.shortage(work) is None

    def shortage(self, work: Workload) -> str | None:
        """What is missing for a task, as RunTask's failures say it; None when there is room."""
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
        if work.ebs and self.volumes >= EBS_VOLUMES:
            return "RESOURCE:EBS"
        return "RESOURCE:GPU" if self.free_gpus < work.gpus else None


class Bucket(Enum):
    """What a task is to its service's scheduler. 'Leaving' is on a draining instance, or of an old deployment."""

    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    HEALTHY = "healthy"
    LEAVING_STARTING = "leaving-starting"
    LEAVING_UNHEALTHY = "leaving-unhealthy"
    LEAVING_HEALTHY = "leaving-healthy"
    STOPPING = "stopping"


@dataclass(slots=True, eq=False)
class Task:
    """A task, from its placement until it is forgotten an hour after it stopped."""

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
    launch: Launch = Launch.EC2
    deployment: str = ""
    provider: str = ""
    """The capacity provider by which it was placed."""
    desired: Desired = Desired.RUNNING
    last: Last = Last.PROVISIONING
    healthy: bool = False
    containers_dead: bool = False
    """Its containers died with their host, and ECS has not heard of it yet."""
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
    """Its circuit broke."""
    failed_tasks: int = 0
    """Tasks in a row that failed."""
    steady_at: datetime | None = None
    """When its tasks were steady first: from then on it bakes."""


@dataclass(slots=True, eq=False)
class Service:
    """A service, its deployments (the primary one first), and its tasks by what they are to its scheduler."""

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
    """How many tasks that stay are in each zone."""
    ended: dict[str, Task] = field(default_factory=dict)
    events: deque[tuple[str, datetime, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    steady: bool = False
    distinct_instances: bool = False
    member_of: str = ""
    suits: Callable[[ContainerInstance], bool] = lambda _: True
    """Whether its placement constraints allow an instance, tasks apart."""
    blocked: bool = False
    """It found no room for a task; woken when there may be some."""
    registered: Shape = field(default_factory=dict)
    """The rest of what CreateService was given."""
    launch: Launch = Launch.EC2
    providers: tuple[str, ...] = ()
    shares: tuple[ProviderShare, ...] = ()
    spreading: Spreading = Spreading.SPREAD
    rollout: Rollout = Rollout()
    failed_starts: int = 0
    """Tasks in a row that failed to start."""
    starts_again_at: datetime | None = None
    """Until when no task is started, since those before failed to start; None while none did."""

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its tasks are on no container instance of the cluster."""
        if self.providers:
            return FARGATE_PROVIDERS.issuperset(self.providers)
        if self.launch is Launch.EC2:
            return False
        return all(instance.launch is not self.launch for instance in self.cluster.instances.values())

    @property
    def task_launch(self) -> Launch:
        """What its tasks run on."""
        return Launch.FARGATE if self.providers and self.runs_elsewhere else self.launch

    @property
    def baking(self) -> bool:
        """Whether a deployment keeps the tasks of the one before beside its own."""
        return self.rollout.way is not Way.ROLLING and len(self.deployments) > 1 and not self.deployments[0].failed

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
        """Whether its placement constraints allow one more of its tasks on an instance."""
        taken = self.distinct_instances and any(
            task.service is self and task.desired is Desired.RUNNING for task in instance.tasks.values()
        )
        return not taken and self.runs_on(instance) and self.suits(instance)

    def runs_on(self, instance: ContainerInstance) -> bool:
        """Whether ECS places its tasks on an instance at all, room and constraints apart.

        Launch type EC2 takes any EC2 instance of the cluster, whatever its capacity provider.
        """
        if self.providers:
            return instance.spec.capacity_provider in self.providers
        return instance.launch is self.launch

    def next_provider(self) -> str:
        """The capacity provider of its next task: bases first, then by weight; empty where it has a launch type."""
        if not self.providers:
            return ""
        have = Counter(task.provider for task in self.live_tasks() if task.desired is Desired.RUNNING)
        told = {share.provider: share for share in self.shares}
        shares = [told.get(name) or ProviderShare(name) for name in self.providers]
        short = [share for share in shares if have[share.provider] < share.base]
        if short:
            return short[0].provider
        weighed = [share for share in shares if share.weight] or shares
        least = min(weighed, key=lambda share: (have[share.provider] - share.base) / (share.weight or 1))
        return least.provider

    def live_tasks(self) -> list[Task]:
        """All that are not STOPPED, in the order of their start."""
        live = [task for tasks in self.buckets.values() for task in tasks.values()]
        return sorted(live, key=lambda task: task.number)


@dataclass(slots=True, eq=False)
class Cluster:
    """One cluster with everything in it."""

    arn: str
    name: str
    instances: dict[str, ContainerInstance] = field(default_factory=dict)
    by_ec2: dict[str, ContainerInstance] = field(default_factory=dict)
    """The newest registration of each EC2 instance."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """Live ones and visible stopped ones."""
    stopped: deque[Task] = field(default_factory=deque)
    """In the order in which they stopped."""
    services: dict[str, Service] = field(default_factory=dict)
    placement: Placement = field(default_factory=Placement)
    providers: dict[str, CapacityProvider] = field(default_factory=dict)
    tags: list[Shape] = field(default_factory=list)
