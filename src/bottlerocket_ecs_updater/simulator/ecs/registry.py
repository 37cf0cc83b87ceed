"""The control plane's records, with what all its parts share: clock, names, random numbers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part
from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, ContainerInstance, Service, Task, TaskDefinition
from bottlerocket_ecs_updater.simulator.ecs.specs import Workload
from bottlerocket_ecs_updater.simulator.ecs.timing import EcsTiming

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.faults import TasksBreak


class Registry:
    """All ECS records, and the listeners for changes."""

    def __init__(
        self, clock: WorldClock, names: Names, chances: random.Random, timing: EcsTiming | None = None
    ) -> None:
        self.clock = clock
        self.names = names
        self.chances = chances
        self.timing = timing or EcsTiming()
        self.clusters: dict[str, Cluster] = {}
        self.definitions: dict[str, list[TaskDefinition]] = {}
        self.other_definitions: list[Callable[[str], TaskDefinition | None]] = []
        """Other sources of task definitions, by name or ARN."""
        self.other_definition_arns: list[Callable[[str], list[str]]] = []
        """Other sources of task definition ARNs, by status."""
        self.on_task: list[Callable[[Task], None]] = []
        """Called after each change of a task's desired or last status."""
        self.on_instance: list[Callable[[ContainerInstance], None]] = []
        """Called after each change of a container instance's status or connection."""
        self.breaks: Callable[[Task], TasksBreak | None] = lambda _: None
        """How the host's version breaks a task."""
        self.gpus: Callable[[ContainerInstance], int] = lambda instance: instance.spec.gpus
        """How many GPUs its host finds."""
        self.health: Callable[[ContainerInstance], Shape] = lambda _: {}
        """What ECS health checks find wrong with a container instance."""
        self.actor: str | None = None
        """The caller of the current call; None while the world acts by itself."""
        self._numbers = 0

    def number(self) -> int:
        """The next number. Records are listed in the order of their creation."""
        self._numbers += 1
        return self._numbers

    def new_id(self) -> str:
        """A new id, as in the ARNs of tasks and container instances."""
        return f"{self.chances.getrandbits(128):032x}"

    def note(self, service: Service, message: str) -> None:
        """Add to a service's events, as DescribeServices shows them."""
        event_id = str(uuid.UUID(int=self.chances.getrandbits(128), version=4))
        service.events.appendleft((event_id, self.clock.now(), f"(service {service.name}) {message}"))

    def create_cluster(self, name: str) -> Cluster:
        """The cluster with this name, created if necessary."""
        if name not in self.clusters:
            self.clusters[name] = Cluster(self.names.ecs("cluster", name), name)
        return self.clusters[name]

    def delete_cluster(self, cluster: Cluster) -> None:
        """Forget a cluster. Requests that name it raise ClusterNotFoundException, as for one that never was."""
        del self.clusters[cluster.name]

    def cluster(self, request: Shape) -> Cluster:
        """The cluster that a request names. Raises ClusterNotFoundException."""
        found = self.clusters.get(last_part(request.get("cluster") or "default"))
        if found is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return found

    def instance_changed(self, instance: ContainerInstance) -> None:
        """Update the indices, and notify listeners."""
        instance.version += 1
        instance.cluster.placement.update(instance)
        for listener in self.on_instance:
            listener(instance)

    def task_changed(self, task: Task) -> None:
        """Notify listeners."""
        task.version += 1
        for listener in self.on_task:
            listener(task)

    def define(self, family: str, workload: Workload, registered: Shape | None = None) -> TaskDefinition:
        """Register the next revision of a family."""
        revisions = self.definitions.setdefault(family, [])
        revision = len(revisions) + 1
        arn = self.names.ecs("task-definition", f"{family}:{revision}")
        definition = TaskDefinition(
            arn, family, revision, workload, self.clock.now(), registered if registered is not None else {}
        )
        revisions.append(definition)
        return definition

    def definition(self, name: str) -> TaskDefinition:
        """The task definition of `family`, `family:revision` or an ARN. Raises ClientException."""
        found = self._own_definition(name)
        for source in self.other_definitions:
            found = found or source(name)
        if found is None:
            raise AwsError("ClientException", "TaskDefinition not found.")
        return found

    def newest(self, family: str) -> TaskDefinition | None:
        """The newest revision of a family in this registry."""
        revisions = self.definitions.get(family, [])
        return revisions[-1] if revisions else None

    def defines(self, name: str) -> bool:
        """Whether the task definition is in this registry."""
        return self._own_definition(name) is not None

    def _own_definition(self, name: str) -> TaskDefinition | None:
        family, _, revision = last_part(name).partition(":")
        revisions = self.definitions.get(family, [])
        active = [one.revision for one in revisions if one.registered.get("status", "ACTIVE") == "ACTIVE"]
        number = int(revision) if revision.isdecimal() else max(active, default=0)
        return revisions[number - 1] if 1 <= number <= len(revisions) else None

    def forget_old_tasks(self, cluster: Cluster) -> None:
        """Drop tasks that stopped too long ago to be shown."""
        limit = self.clock.now() - self.timing.stopped_visible
        stopped = cluster.stopped
        while stopped and stopped[0].stopped_at is not None and stopped[0].stopped_at <= limit:
            task = stopped.popleft()
            cluster.tasks.pop(task.arn, None)
            if task.instance is not None:
                task.instance.ended.pop(task.arn, None)
            if task.service is not None:
                task.service.ended.pop(task.arn, None)
