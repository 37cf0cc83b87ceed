"""The service scheduler: keeps services at their desired counts, and drains instances within the services' limits.

A change wakes only the affected services and instances, which are processed one tick later.
A service must keep at least minimumHealthyPercent of its desired count healthy (rounded up), and may have at most
maximumPercent of it not STOPPED (rounded down), so a replacement may have to wait for either limit.
On a draining instance, tasks of daemon services stop last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.simulator.ecs.model import (
    Bucket,
    Deployment,
    Desired,
    InstanceStatus,
    Last,
)
from bottlerocket_ecs_updater.simulator.ecs.specs import Spreading, Strategy, TaskLaunch
from bottlerocket_ecs_updater.simulator.ecs.task_failures import SCHEDULED, TaskFailures
from bottlerocket_ecs_updater.simulator.ecs.timing import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, ContainerInstance, Service, Task, TaskDefinition
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry

NO_ROOM = (
    "was unable to place a task because no container instance met all of its requirements. "
    "Reason: No Container Instances with enough resources were found in your cluster."
)


class Scheduler:
    """Processes woken services and instances one tick later."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._services: dict[str, Service] = {}
        self._instances: dict[str, ContainerInstance] = {}
        self._blocked: dict[str, Service] = {}
        self._ticking = False
        self._failures = TaskFailures(registry, lifecycle, self.wake)
        self.on_shortage: list[Callable[[Cluster, str], None]] = []
        """Called if a capacity provider (or, with an empty name, a launch type) has no room for a task."""
        registry.on_task.append(self._task_changed)
        registry.on_instance.append(self._instance_changed)

    def wake(self, service: Service) -> None:
        """Schedule a service for the next tick."""
        self._services[service.arn] = service
        self._tick_soon()

    def visit(self, instance: ContainerInstance) -> None:
        """Schedule an instance's daemon tasks for the next tick."""
        self._instances[instance.arn] = instance
        self._tick_soon()

    def new_deployment(self, service: Service, definition: TaskDefinition) -> None:
        """Start to replace a service's tasks."""
        now = self._registry.clock.now()
        deployment_id = f"ecs-svc/{self._registry.chances.randrange(10**18, 10**19)}"
        service.deployments.insert(0, Deployment(deployment_id, definition, now, now))
        service.steady = False
        for task in service.live_tasks():
            self._lifecycle.reclassify(task)
            if service.strategy is Strategy.DAEMON and task.instance is not None:
                self.visit(task.instance)
        self.wake(service)

    def fill_at_once(self, service: Service) -> None:
        """Start all tasks of a new service, as if it had been running for long."""
        cluster = service.cluster
        work = service.deployments[0].definition.workload
        if work.fails_to_start or work.stays_pending:
            return
        if service.strategy is Strategy.DAEMON:
            for instance in [each for each in cluster.placement if service.may_go_to(each)]:
                self._start(service, instance, already_running=True)
        else:
            while service.staying < service.desired and self._place(service, already_running=True) is not None:
                pass
        service.deployments[0].completed = service.steady = True

    def rebalance_from_now(self, service: Service) -> None:
        """Move a task to another zone from time to time, if the service has zone rebalancing."""
        if service.rebalanced_every is not None:
            self._registry.clock.after(service.rebalanced_every, lambda: self._rebalance(service))

    def _rebalance(self, service: Service) -> None:
        """Stop a task in the zone with the most tasks if another has two less. Its replacement goes there."""
        zones = {one.zone: service.zones[one.zone] for one in service.cluster.placement if service.may_go_to(one)}
        if service.steady and zones and max(zones.values()) - min(zones.values()) > 1:
            most = max(zones, key=lambda zone: zones[zone])
            there = [one for one in service.live_tasks() if one.instance is not None and one.instance.zone == most]
            self._registry.note(
                service, f"is not AZ balanced with {zones[most]} tasks in {most}. AZ Rebalancing in progress."
            )
            self._stop(service, [one for one in there if not self._is_protected(one)][-1:])
        self.rebalance_from_now(service)

    def _task_changed(self, task: Task) -> None:
        if task.service is not None:
            self.wake(task.service)
            self._failures.watch(task, task.service)
        if task.last is not Last.STOPPED:
            return
        if task.instance is not None:
            self.visit(task.instance)
        if task.service is not None:
            self._failures.count(task.service, task)
        self._wake_blocked(task.cluster)

    def _instance_changed(self, instance: ContainerInstance) -> None:
        for task in list(instance.tasks.values()):
            self._lifecycle.reclassify(task)
            if task.service is not None:
                self.wake(task.service)
        self.visit(instance)
        if instance.accepts_tasks:
            self._wake_blocked(instance.cluster)

    def _wake_blocked(self, cluster: Cluster) -> None:
        for service in [each for each in self._blocked.values() if each.cluster is cluster]:
            self.wake(service)

    def _tick_soon(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._registry.clock.after(self._registry.timing.scheduler_tick, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        instances, self._instances = self._instances, {}
        services, self._services = self._services, {}
        for instance in instances.values():
            self._look_at_daemons(instance)
        for service in self._in_order(list(services.values())):
            self._look_at(service)

    def _in_order(self, services: list[Service]) -> list[Service]:
        match self._registry.timing.order:
            case Order.WOKEN:
                return services
            case Order.REVERSED:
                return services[::-1]
            case Order.SHUFFLED:
                return self._registry.chances.sample(services, len(services))
            case other:
                assert_never(other)

    def _look_at(self, service: Service) -> None:
        if service.status != "ACTIVE":
            self._stop(service, service.live_tasks())
            if service.status == "DRAINING" and not service.live_tasks():
                service.status = "INACTIVE"
            return
        if service.strategy is Strategy.REPLICA:
            self._stop(service, service.buckets[Bucket.LEAVING_STARTING].values())
            self._stop_surplus(service)
            self._start_missing(service)
            self._stop_leaving(service)
        self._note_progress(service)

    def _stop_surplus(self, service: Service) -> None:
        surplus = service.staying - service.desired
        for bucket in (Bucket.STARTING, Bucket.UNHEALTHY, Bucket.HEALTHY):
            if surplus <= 0:
                return
            newest = [task for task in reversed(service.buckets[bucket].values()) if not self._is_protected(task)]
            chosen = newest[:surplus]
            self._stop(service, chosen)
            surplus -= len(chosen)

    def _start_missing(self, service: Service) -> None:
        if service.deployments[0].failed:
            return
        if service.starts_again_at is not None and self._registry.clock.now() < service.starts_again_at:
            return
        ceiling = service.desired * service.maximum_percent // 100
        room = ceiling - service.staying - service.leaving - service.count(Bucket.STOPPING)
        started: list[str] = []
        for _ in range(min(service.desired - service.staying, room)):
            task = self._place(service)
            if task is None:
                self._block(service)
                break
            started.append(task.arn.rsplit("/", 1)[-1])
        else:
            service.blocked = False
            self._blocked.pop(service.arn, None)
        if started:
            names = ", ".join(f"(task {name})" for name in started)
            self._registry.note(service, f"has started {len(started)} tasks: {names}.")

    def _place(self, service: Service, *, already_running: bool = False) -> Task | None:
        """Start another task if the launch type or next capacity provider has room; None if not."""
        provider = service.next_provider()
        if service.runs_elsewhere or provider in FARGATE_PROVIDERS:
            return self._start(service, None, provider=provider, already_running=already_running)
        found = self._choose(service, provider)
        if found is None:
            for listener in self.on_shortage:
                listener(service.cluster, provider)
            return None
        return self._start(service, found, provider=provider, already_running=already_running)

    def _choose(self, service: Service, provider: str) -> ContainerInstance | None:
        placement, work = service.cluster.placement, service.deployments[0].definition.workload

        def suits(instance: ContainerInstance) -> bool:
            return service.may_go_to(instance) and (not provider or instance.spec.capacity_provider == provider)

        match service.spreading:
            case Spreading.SPREAD:
                return placement.choose(work, service.zones, suits)
            case Spreading.BINPACK:
                return placement.pack(work, suits)
            case Spreading.RANDOM:
                able = placement.able(work, suits)
                return self._registry.chances.choice(able) if able else None
            case other:
                assert_never(other)

    def _stop_leaving(self, service: Service) -> None:
        floor = -(-service.desired * service.minimum_healthy_percent // 100)
        spare = service.healthy - floor
        # An unhealthy task does not count towards the minimum, so it may always be stopped.
        self._stop(service, self._movable(service, Bucket.LEAVING_UNHEALTHY))
        self._stop(service, self._movable(service, Bucket.LEAVING_HEALTHY)[: max(spare, 0)])

    def _movable(self, service: Service, bucket: Bucket) -> list[Task]:
        """Tasks that may be stopped now. During bake time, the previous deployment's tasks stay."""
        tasks = [task for task in service.buckets[bucket].values() if not self._is_protected(task)]
        return [task for task in tasks if not (service.baking and _may_stay(task))]

    def _look_at_daemons(self, instance: ContainerInstance) -> None:
        daemons = {task.service.arn: task for task in instance.tasks.values() if task.service and task.is_daemon}
        if instance.status is not InstanceStatus.ACTIVE:
            if len(daemons) == len(instance.tasks):
                for task in daemons.values():
                    assert task.service is not None
                    self._stop(task.service, [task])
            return
        for service in instance.cluster.services.values():
            daemon = service.strategy is Strategy.DAEMON and service.status == "ACTIVE"
            if daemon and service.runs_on(instance) and service.suits(instance):
                self._look_at_daemon(service, instance, daemons.get(service.arn))

    def _look_at_daemon(self, service: Service, instance: ContainerInstance, task: Task | None) -> None:
        primary = service.deployments[0]
        if task is not None:
            if task.deployment != primary.id:
                self._stop(service, [task])
        elif not instance.accepts_tasks or primary.failed:
            return
        elif instance.has_room_for(primary.definition.workload):
            name = self._start(service, instance).arn.rsplit("/", 1)[-1]
            self._registry.note(service, f"has started 1 tasks: (task {name}).")
        else:
            self._registry.note(service, NO_ROOM)

    def _start(
        self,
        service: Service,
        instance: ContainerInstance | None,
        *,
        provider: str = "",
        already_running: bool = False,
    ) -> Task:
        primary = service.deployments[0]
        service.steady = False
        return self._lifecycle.start(
            service.cluster,
            primary.definition,
            instance,
            service=service,
            group=f"service:{service.name}",
            started_by=primary.id,
            provider=provider,
            already_running=already_running,
            launch=TaskLaunch.FARGATE if provider in FARGATE_PROVIDERS else service.task_launch,
        )

    def _stop(self, service: Service, tasks: Iterable[Task]) -> None:
        chosen = [task for task in tasks if task.desired is Desired.RUNNING]
        if not chosen:
            return
        service.steady = False
        for task in chosen:
            self._lifecycle.stop(task, SCHEDULED, f"Scaling activity initiated by (deployment {task.deployment})")
        names = ", ".join(f"(task {task.arn.rsplit('/', 1)[-1]})" for task in chosen)
        self._registry.note(service, f"has stopped {len(chosen)} running tasks: {names}.")

    def _is_protected(self, task: Task) -> bool:
        return task.protected_until is not None and task.protected_until > self._registry.clock.now()

    def _block(self, service: Service) -> None:
        if not service.blocked:
            service.blocked = True
            self._registry.note(service, NO_ROOM)
        if service.arn not in self._blocked:
            self._blocked[service.arn] = service
            self._registry.clock.after(self._registry.timing.retry_placement, lambda: self._unblock(service))

    def _unblock(self, service: Service) -> None:
        if self._blocked.pop(service.arn, None) is not None:
            self.wake(service)

    def _note_progress(self, service: Service) -> None:
        if service.strategy is Strategy.DAEMON:
            enough = service.count(Bucket.STARTING, Bucket.UNHEALTHY, Bucket.STOPPING) == 0
        else:
            enough = service.count(Bucket.HEALTHY) == service.staying == service.desired
        if service.steady or not enough or (service.leaving and not service.baking):
            return
        primary = service.deployments[0]
        if not primary.completed:
            if not self._has_baked(service, primary):
                return
            primary.completed, primary.updated_at, primary.failed_tasks = True, self._registry.clock.now(), 0
            del service.deployments[1:]
            self._registry.note(service, f"(deployment {primary.id}) deployment completed.")
            for task in service.live_tasks():
                self._lifecycle.reclassify(task)
            self.wake(service)
        service.steady = True
        self._registry.note(service, "has reached a steady state.")

    def _has_baked(self, service: Service, primary: Deployment) -> bool:
        """Whether a steady deployment may complete. If not, schedules another look."""
        now, rollout = self._registry.clock.now(), service.rollout
        if rollout.never_ends or primary.failed or primary.beside_primary:
            return False
        if primary.steady_at is None:
            primary.steady_at = now
            if rollout.lasts:
                self._registry.clock.after(rollout.lasts, lambda: self.wake(service))
        return now >= primary.steady_at + rollout.lasts


def _may_stay(task: Task) -> bool:
    """Whether the task is leaving only because of its old deployment: its instance accepts tasks."""
    return task.instance is None or task.instance.status is InstanceStatus.ACTIVE
