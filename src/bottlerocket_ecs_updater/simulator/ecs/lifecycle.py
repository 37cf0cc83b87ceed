"""The lifecycle of one task.

    PROVISIONING -> PENDING -> RUNNING                             while ECS wants it RUNNING
    RUNNING -> DEACTIVATING -> STOPPING -> DEPROVISIONING -> STOPPED     once ECS wants it STOPPED

In DEACTIVATING a load balancer deregisters it. A task that has not run yet goes to STOPPED at once.
Only a connected agent advances a task: while its host is down, a task keeps its last reported state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from bottlerocket_ecs_updater.simulator.ecs.model import (
    Bucket,
    ContainerInstance,
    Desired,
    InstanceStatus,
    Last,
    Service,
    Task,
)
from bottlerocket_ecs_updater.simulator.ecs.specs import TaskLaunch
from bottlerocket_ecs_updater.simulator.faults import Breaking

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, TaskDefinition
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry

REBOOTED = "Task stopped: the container instance was restarted."
_UNSTARTED = (Last.PROVISIONING, Last.PENDING)
_AT_ONCE = timedelta()


class Lifecycle:
    """Starts and stops tasks, and advances them over time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._clock = registry.clock
        self._timing = registry.timing

    def start(  # noqa: PLR0913 - what a task has from its beginning
        self,
        cluster: Cluster,
        definition: TaskDefinition,
        instance: ContainerInstance | None,
        *,
        service: Service | None = None,
        group: str = "",
        started_by: str = "",
        already_running: bool = False,
        launch: TaskLaunch = TaskLaunch.FARGATE,
        provider: str = "",
    ) -> Task:
        """Place a task on an instance, or off instances, such as on Fargate.

        `already_running`: it was running before the simulation started.
        """
        task = Task(
            arn=self._registry.names.ecs("task", cluster.name, self._registry.new_id()),
            number=self._registry.number(),
            cluster=cluster,
            definition=definition,
            instance=instance,
            service=service,
            group=group or f"family:{definition.family}",
            started_by=started_by,
            created_at=self._clock.now(),
            launch=instance.launch if instance is not None else launch,
            provider=provider,
            deployment=service.deployments[0].id if service is not None else "",
        )
        cluster.tasks[task.arn] = task
        if instance is not None:
            _occupy(instance, task)
            cluster.placement.update(instance)
        if already_running:
            task.last, task.started_at, task.healthy = Last.RUNNING, task.created_at, True
            task.created_at -= definition.workload.pull
        self._changed(task)
        self.resume(task)
        return task

    def stop(self, task: Task, code: str, reason: str) -> None:
        """Set its desired status to STOPPED. Does nothing if it already is."""
        if task.desired is Desired.STOPPED:
            return
        task.desired = Desired.STOPPED
        task.stop_code, task.stopped_reason = code, reason
        task.stopping_at = self._clock.now()
        self._changed(task)
        self.resume(task)

    def resume(self, task: Task) -> None:
        """Set the timer for the next state, if the agent is up."""
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None
        if not _agent_is_up(task):
            return
        if task.containers_dead:
            self._end_dead(task)
        elif task.desired is Desired.STOPPED and task.last is Last.RUNNING:
            deregisters = task.workload.deregistration_delay > _AT_ONCE
            self._enter(task, Last.DEACTIVATING if deregisters else Last.STOPPING)
        elif (coming := self._coming(task)) is not None:
            last, delay = coming
            task.timer = self._clock.after(delay, lambda: self._enter_if_possible(task, last))

    def containers_died(self, task: Task) -> None:
        """Its host goes down. ECS learns of it when the agent is back."""
        if task.last in _UNSTARTED or task.last is Last.STOPPED:
            return
        task.containers_dead = True
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None

    def abandon(self, task: Task, reason: str) -> None:
        """Its instance will not come back: set it STOPPED immediately."""
        task.desired = Desired.STOPPED
        task.stop_code, task.stopped_reason = "TerminationNotice", reason
        self._enter(task, Last.STOPPED)

    def reclassify(self, task: Task) -> None:
        """Update which bucket of its service it is in."""
        service = task.service
        if service is None:
            return
        bucket = _bucket(task, service)
        if bucket is task.bucket:
            return
        if task.bucket is not None:
            del service.buckets[task.bucket][task.arn]
            service.zones[_zone(task)] -= task.bucket in _STAYING
        if bucket is not None:
            service.buckets[bucket][task.arn] = task
            service.zones[_zone(task)] += bucket in _STAYING
        else:
            service.ended[task.arn] = task
        task.bucket = bucket

    def _coming(self, task: Task) -> tuple[Last, timedelta] | None:
        timing, work = self._timing, task.workload
        match task.last:
            case Last.PROVISIONING | Last.PENDING if task.desired is Desired.STOPPED:
                return Last.STOPPED, timing.deprovisioning
            case Last.PROVISIONING:
                return Last.PENDING, timing.provisioning
            case Last.PENDING if self._stays_pending(task):
                return None
            case Last.PENDING if self._why_not_started(task):
                return Last.STOPPED, timing.start_longest
            case Last.PENDING:
                span = (timing.start_longest - timing.start_shortest).total_seconds()
                start = timing.start_shortest + timedelta(seconds=self._registry.chances.random() * span)
                return Last.RUNNING, work.pull + start
            case Last.RUNNING:
                return self._coming_while_running(task)
            case Last.DEACTIVATING:
                return Last.STOPPING, work.deregistration_delay
            case Last.STOPPING:
                return None if work.never_stops else (Last.DEPROVISIONING, min(work.shutdown, work.stop_timeout))
            case Last.DEPROVISIONING:
                return Last.STOPPED, timing.deprovisioning
            case Last.STOPPED:
                return None
            case other:
                assert_never(other)

    def _why_not_started(self, task: Task) -> str:
        """Why the task fails to start, because of itself or its host's version; empty if it starts."""
        broken = self._registry.breaks(task)
        if broken is not None and broken.how is Breaking.FAILS_TO_START:
            return broken.reason
        return task.workload.fails_to_start

    def _stays_pending(self, task: Task) -> bool:
        broken = self._registry.breaks(task)
        return task.workload.stays_pending or (broken is not None and broken.how is Breaking.STAYS_PENDING)

    def _coming_while_running(self, task: Task) -> tuple[Last, timedelta] | None:
        work, started = task.workload, task.started_at
        assert started is not None, "a task that runs has started"
        elapsed = self._clock.now() - started
        broken = self._registry.breaks(task)
        if broken is not None and broken.how is Breaking.UNHEALTHY:
            return None
        if broken is not None and broken.how is Breaking.EXITS and (task.healthy or broken.after < work.healthy_after):
            return Last.DEPROVISIONING, broken.after - elapsed
        if not task.healthy:
            return Last.RUNNING, work.healthy_after - elapsed
        return None if work.runs_for is None else (Last.DEPROVISIONING, work.runs_for - elapsed)

    def _enter_if_possible(self, task: Task, last: Last) -> None:
        task.timer = None
        if _agent_is_up(task):
            self._enter(task, last)

    def _enter(self, task: Task, last: Last) -> None:
        now = self._clock.now()
        exited_by_itself = last is Last.DEPROVISIONING and task.desired is Desired.RUNNING
        if exited_by_itself:
            task.desired, task.stop_code = Desired.STOPPED, "EssentialContainerExited"
            task.stopped_reason, task.stopping_at = "Essential container in task exited", now
            broken = self._registry.breaks(task)
            task.exit_code = broken.exit_code if broken is not None else task.workload.exit_code
        if last is Last.STOPPED and task.desired is Desired.RUNNING and task.last is Last.PENDING:
            task.desired, task.stop_code = Desired.STOPPED, "TaskFailedToStart"
            task.stopped_reason, task.stopping_at = self._why_not_started(task), now
        if last is Last.RUNNING:
            task.started_at = task.started_at or now
            broken = self._registry.breaks(task)
            unhealthy = broken is not None and broken.how is Breaking.UNHEALTHY
            task.healthy = not unhealthy and now >= task.started_at + task.workload.healthy_after
        task.last = last
        if last is Last.STOPPED:
            self._release(task)
        self._changed(task)
        self.resume(task)

    def _end_dead(self, task: Task) -> None:
        task.containers_dead = False
        if task.desired is Desired.RUNNING:
            task.desired, task.stopping_at = Desired.STOPPED, self._clock.now()
            task.stop_code, task.stopped_reason, task.exit_code = "EssentialContainerExited", REBOOTED, 137
        self._enter(task, Last.STOPPED)

    def _release(self, task: Task) -> None:
        task.stopped_at = self._clock.now()
        task.cluster.stopped.append(task)
        if task.instance is not None:
            _vacate(task.instance, task)
            task.cluster.placement.update(task.instance)
        self._registry.forget_old_tasks(task.cluster)

    def _changed(self, task: Task) -> None:
        self.reclassify(task)
        self._registry.task_changed(task)


_STAYING = (Bucket.STARTING, Bucket.UNHEALTHY, Bucket.HEALTHY)


def _agent_is_up(task: Task) -> bool:
    return task.instance is None or task.instance.agent_up


def _zone(task: Task) -> str:
    return task.instance.zone if task.instance is not None else ""


def _bucket(task: Task, service: Service) -> Bucket | None:
    if task.last is Last.STOPPED:
        return None
    if task.desired is Desired.STOPPED:
        return Bucket.STOPPING
    leaving = task.deployment != service.deployments[0].id or (
        task.instance is not None and task.instance.status is not InstanceStatus.ACTIVE
    )
    if task.last in _UNSTARTED:
        return Bucket.LEAVING_STARTING if leaving else Bucket.STARTING
    if not task.healthy:
        return Bucket.LEAVING_UNHEALTHY if leaving else Bucket.UNHEALTHY
    return Bucket.LEAVING_HEALTHY if leaving else Bucket.HEALTHY


def _occupy(instance: ContainerInstance, task: Task) -> None:
    work = task.workload
    instance.tasks[task.arn] = task
    instance.free_cpu -= work.cpu
    instance.free_memory -= work.memory
    task.gpus = instance.free_gpus if work.all_gpus else work.gpus
    instance.free_gpus -= task.gpus
    instance.ports.update(() if work.awsvpc else work.host_ports)
    instance.interfaces += work.awsvpc
    instance.volumes += work.ebs


def _vacate(instance: ContainerInstance, task: Task) -> None:
    work = task.workload
    del instance.tasks[task.arn]
    instance.ended[task.arn] = task
    instance.free_cpu += work.cpu
    instance.free_memory += work.memory
    instance.free_gpus += task.gpus
    instance.ports.difference_update(() if work.awsvpc else work.host_ports)
    instance.interfaces -= work.awsvpc
    instance.volumes -= work.ebs
