"""What a simulated cluster is made of, as people ask for it: instances, services, and how their tasks behave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Strategy(StrEnum):
    """The scheduling strategy of a service."""

    REPLICA = "REPLICA"
    DAEMON = "DAEMON"


class TaskLaunch(StrEnum):
    """Where a task runs."""

    EC2 = "EC2"
    FARGATE = "FARGATE"
    EXTERNAL = "EXTERNAL"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"


class Controller(StrEnum):
    """A service's deployment controller. All except ECS use task sets."""

    ECS = "ECS"
    CODE_DEPLOY = "CODE_DEPLOY"
    EXTERNAL = "EXTERNAL"


class Way(StrEnum):
    """How a deployment replaces the tasks of a service."""

    ROLLING = "ROLLING"
    BLUE_GREEN = "BLUE_GREEN"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


class Spreading(StrEnum):
    """A service's first placement strategy."""

    SPREAD = "spread"
    """Over zones, then over instances."""
    BINPACK = "binpack"
    """On the instance with the least memory left."""
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """The share of a service that one capacity provider in its strategy gets."""

    provider: str
    weight: int = 1
    base: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a service is deployed, and how long a deployment continues after its new tasks are steady."""

    way: Way = Way.ROLLING
    controller: Controller = Controller.ECS
    bake: timedelta = timedelta()
    """How long both revisions run after traffic has shifted; with CANARY and LINEAR, after each step."""
    steps: int = 1
    """The number of steps in which traffic shifts."""
    pause: timedelta = timedelta()
    """How long a hook of type PAUSE holds the deployment."""
    circuit_breaker: bool = False
    """Whether the circuit breaker is on: a deployment whose tasks keep failing becomes FAILED."""
    never_ends: bool = False
    """Whether a deployment never completes."""
    spare_task_set: bool = False
    """Whether its controller keeps a second task set at a scale of 0, to go back to it quickly."""

    @property
    def lasts(self) -> timedelta:
        """How long a deployment continues after all its tasks are steady."""
        return self.pause + self.steps * self.bake


@dataclass(frozen=True, slots=True)
class Workload:
    """What one task needs, and how it behaves in the simulated world."""

    cpu: int = 256
    memory: int = 256
    host_ports: tuple[int, ...] = ()
    gpus: int = 0
    all_gpus: bool = False
    """Whether it gets all GPUs that are left on its instance, and needs `gpus` at least."""
    required_attributes: tuple[str, ...] = ()
    """Names of attributes that an instance must have to run it."""
    pull: timedelta = timedelta()
    """How long its image takes to download, in addition to the usual start."""
    shutdown: timedelta = timedelta(seconds=2)
    """How long it takes to exit after SIGTERM, limited by `stop_timeout`."""
    stop_timeout: timedelta = timedelta(seconds=30)
    deregistration_delay: timedelta = timedelta()
    """The load balancer's deregistration delay before it is stopped; 0 without a load balancer."""
    healthy_after: timedelta = timedelta()
    """From RUNNING until the load balancer reports it healthy."""
    never_stops: bool = False
    """Its containers cannot be killed, as with a hung mount: it stays STOPPING."""
    runs_for: timedelta | None = None
    """How long it runs before it exits by itself, like a batch job; None for never."""
    exit_code: int = 0
    """Its exit code when it exits by itself; not 0 if it crashes."""
    fails_to_start: str = ""
    """Why its tasks never start, as ECS reports it; empty if they start."""
    stays_pending: bool = False
    """Whether its tasks stay PENDING, as with a volume that is never attached."""
    awsvpc: bool = False
    """Whether it has its own network interface; it then uses no host ports."""
    ebs: bool = False
    """Whether it has its own EBS volume."""
    member_of: str = ""
    """A placement constraint of its task definition."""


@dataclass(frozen=True, slots=True)
class ContainerInstanceSpec:
    """A container instance at the moment when it registers."""

    ec2_instance_id: str
    zone: str
    attributes: tuple[tuple[str, str | None], ...] = ()
    """Attributes that the agent registers besides the built-in ones, such as `bottlerocket.variant`."""
    instance_type: str = "m6i.large"
    ami_id: str = "ami-0123456789abcdef0"
    cpu: int = 2048
    memory: int = 7680
    gpus: int = 0
    agent_version: str = "1.89.2"
    capacity_provider: str = ""
    """The capacity provider of its Auto Scaling group; empty if it has none."""
    lacks: tuple[str, ...] = ()
    """Capabilities that its agent does not have, because it is old."""


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
    """The family of its task definition; the service's name if empty."""
    distinct_instances: bool = False
    """Placement constraint: no two tasks on one instance."""
    member_of: str = ""
    """Placement constraint: only on instances that match this cluster query."""
    launch: TaskLaunch = TaskLaunch.EC2
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy, which replaces the launch type."""
    shares: tuple[ProviderShare, ...] = ()
    """Weights and bases of its providers. Providers that are not listed have weight 1 and base 0."""
    spreading: Spreading = Spreading.SPREAD
    subnets: tuple[str, ...] = ()
    """Its subnets in network mode awsvpc: `subnet-` and a zone, as instances are in; empty for all zones."""
    rollout: Rollout = Rollout()
    execute_command: bool = False
    """Whether ECS Exec is on."""
    service_connect: bool = False
    rebalanced_every: timedelta | None = None
    """How often ECS moves a task to another zone if the zones are uneven; None without zone rebalancing."""
