"""What ECS does about tasks of services that fail: it stops unhealthy ones, backs off, and fails deployments."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last
from bottlerocket_ecs_updater.simulator.faults import Breaking

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
    from bottlerocket_ecs_updater.simulator.ecs.model import Service, Task
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry

SCHEDULED = "ServiceSchedulerInitiated"
"""The stop code of tasks that the scheduler stops."""

FAILURES = frozenset({"TaskFailedToStart", "EssentialContainerExited"})
"""Stop codes that count as failures of the deployment."""

CONTAINER_CHECKS, TIMED_OUT = "container health checks", "Request timed out"
"""Source: "Amazon ECS service event messages" and "Stopped task error messages"."""

BREAKS_AFTER = (3, 200)
"""Bounds of the circuit breaker threshold. Source: ECS's threshold is half of the desired count."""

FIRST_THROTTLE, LONGEST_THROTTLE = timedelta(seconds=5), timedelta(minutes=15)
"""Delay between retries if tasks fail to start. Source: "Service throttle logic" in the ECS guide."""


class TaskFailures:
    """Counts failures by service, and stops tasks that their host's version makes unhealthy."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle, wake: Callable[[Service], None]) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._wake = wake

    def watch(self, task: Task, service: Service) -> None:
        """Stop a task after a while if its host's version makes it unhealthy. Replacements are started as usual."""
        broken = self._registry.breaks(task) if task.last is Last.RUNNING and task.desired is Desired.RUNNING else None
        if broken is not None and broken.how is Breaking.UNHEALTHY:
            self._registry.clock.after(broken.after, lambda: self._stop_unhealthy(task, service))

    def _stop_unhealthy(self, task: Task, service: Service) -> None:
        if task.last is not Last.RUNNING or task.desired is not Desired.RUNNING:
            return
        name = task.arn.rsplit("/", 1)[-1]
        if service.load_balanced:
            self._registry.note(
                service, f"(port 80) is unhealthy in (target-group {service.name}) due to (reason {TIMED_OUT})"
            )
        else:
            self._registry.note(service, f"(task {name}) failed container health checks.")
        which = f"ELB health checks in (target-group {service.name})" if service.load_balanced else CONTAINER_CHECKS
        self._lifecycle.stop(task, SCHEDULED, f"Task failed {which}")
        self._registry.note(service, f"has stopped 1 running tasks: (task {name}).")

    def count(self, service: Service, task: Task) -> None:
        """Count a failed task of a deployment. Enough consecutive failures trip the circuit breaker."""
        primary = service.deployments[0]
        if task.deployment != primary.id or task.stop_code not in FAILURES:
            return
        self._throttle(service, task)
        if primary.completed:
            return
        primary.failed_tasks += 1
        limit = min(max(BREAKS_AFTER[0], -(-service.desired // 2)), BREAKS_AFTER[1])
        if service.rollout.circuit_breaker and primary.failed_tasks >= limit:
            primary.failed, primary.updated_at = True, self._registry.clock.now()
            self._registry.note(service, f"(deployment {primary.id}) deployment failed: tasks failed to start.")

    def _throttle(self, service: Service, task: Task) -> None:
        """Back off if tasks fail to start. Tasks that start and then exit are not throttled."""
        service.failed_starts = service.failed_starts + 1 if task.stop_code == "TaskFailedToStart" else 0
        if service.failed_starts:
            wait = min(FIRST_THROTTLE * 2 ** min(service.failed_starts - 1, 10), LONGEST_THROTTLE)
            service.starts_again_at = self._registry.clock.now() + wait
            self._registry.clock.after(wait, lambda: self._wake(service))
