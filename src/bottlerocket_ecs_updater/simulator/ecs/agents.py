"""Container instances register, lose their agent, reconnect, and leave.

ECS notices agent changes with a lag, so a fast reboot may never show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.resources import EXECUTE_COMMAND_ATTRIBUTE, SERVICE_CONNECT_ATTRIBUTE
from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, InstanceStatus, subnet_of
from bottlerocket_ecs_updater.simulator.ecs.specs import ContainerInstanceSpec

if TYPE_CHECKING:
    from datetime import timedelta

    from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry

BUILT_IN_PREFIXES = ("ecs.", "com.amazonaws.ecs.")
_CAPABILITIES = (
    "com.amazonaws.ecs.capability.docker-remote-api.1.44",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    EXECUTE_COMMAND_ATTRIBUTE,
    SERVICE_CONNECT_ATTRIBUTE,
    "com.amazonaws.ecs.capability.task-iam-role",
    "ecs.capability.container-health-check",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.task-eni",
)


class Agents:
    """Registrations and connections of container instances."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._reboots: set[str] = set()
        self._lose_checkpoint: set[str] = set()

    def register(self, cluster: Cluster, spec: ContainerInstanceSpec) -> ContainerInstance:
        """A new container instance, ACTIVE and connected."""
        registry = self._registry
        instance = ContainerInstance(
            arn=registry.names.ecs("container-instance", cluster.name, registry.new_id()),
            number=registry.number(),
            cluster=cluster,
            spec=spec,
            registered_at=registry.clock.now(),
            built_in=_built_in_attributes(spec),
            custom={name: value for name, value in spec.attributes if not name.startswith(BUILT_IN_PREFIXES)},
            free_cpu=spec.cpu,
            free_memory=spec.memory,
            free_gpus=spec.gpus,
            gpus=spec.gpus,
        )
        cluster.instances[instance.arn] = instance
        cluster.by_ec2[spec.ec2_instance_id] = instance
        registry.instance_changed(instance)
        self._flap_some_day(instance)
        return instance

    def containers_died(self, instance: ContainerInstance) -> None:
        """Docker stopped on its host: the host goes down."""
        for task in instance.tasks.values():
            self._lifecycle.containers_died(task)

    def booted(self, instance: ContainerInstance, *, checkpoint_lost: bool = False) -> None:
        """The host has booted: the agent registers again when it connects."""
        self._reboots.add(instance.arn)
        if checkpoint_lost:
            self._lose_checkpoint.add(instance.arn)

    def went_down(self, instance: ContainerInstance, *, missed: bool = True) -> None:
        """The agent disconnected. ECS shows that a little later, sooner if the agent shut down cleanly."""
        timing = self._registry.timing
        instance.agent_up = False
        self._believe_later(instance, connected=False, lag=timing.disconnect_lag if missed else timing.connect_lag)

    def came_up(self, instance: ContainerInstance) -> ContainerInstance:
        """The agent connected. Returns the registration that it has now, which may be a new one."""
        if instance.status is InstanceStatus.INACTIVE:
            return instance
        if instance.arn in self._lose_checkpoint:
            self._lose_checkpoint.discard(instance.arn)
            self._reboots.discard(instance.arn)
            return self.register(instance.cluster, instance.spec)
        if instance.arn in self._reboots:
            self._reboots.discard(instance.arn)
            self._register_again(instance)
        instance.agent_up = True
        self._believe_later(instance, connected=True, lag=self._registry.timing.connect_lag)
        for task in list(instance.tasks.values()):
            self._lifecycle.resume(task)
        return instance

    def flap(self, instance: ContainerInstance) -> None:
        """The agent loses its connection for a moment, although nothing is wrong."""
        if instance.agent_up and instance.agent_connected and instance.connection_timer is None:
            self._believe(instance, connected=False)
            instance.connection_timer = self._registry.clock.after(
                self._registry.timing.flap_lasts, lambda: self._believe(instance, connected=True)
            )

    def terminated(self, instance: ContainerInstance) -> None:
        """The EC2 instance is terminated. Some time later its registration is removed, too.

        If its agent was disconnected, ECS keeps the registration until somebody removes it.
        """
        was_connected = instance.agent_connected
        self.went_down(instance)
        if not was_connected:
            return
        self._registry.clock.after(
            self._registry.timing.deregister_terminated,
            lambda: self.deregister(instance, f"Host EC2 (instance {instance.ec2_instance_id}) terminated."),
        )

    def deregister(self, instance: ContainerInstance, reason: str) -> None:
        """Set it INACTIVE, and its tasks STOPPED."""
        if instance.status is InstanceStatus.INACTIVE:
            return
        instance.status, instance.drained_by = InstanceStatus.INACTIVE, None
        instance.agent_up = instance.agent_connected = False
        for task in list(instance.tasks.values()):
            self._lifecycle.abandon(task, reason)
        self._registry.instance_changed(instance)

    def _flap_some_day(self, instance: ContainerInstance) -> None:
        every = self._registry.timing.flap_every
        if every is None or instance.status is InstanceStatus.INACTIVE:
            return

        def flap_and_go_on() -> None:
            self.flap(instance)
            self._flap_some_day(instance)

        # Random between zero and twice the time, so that the mean is that time.
        self._registry.clock.after(every * (2 * self._registry.chances.random()), flap_and_go_on)

    def _register_again(self, instance: ContainerInstance) -> None:
        timing = self._registry.timing
        gpus = self._registry.gpus(instance)
        instance.free_gpus += gpus - instance.gpus
        instance.gpus = gpus
        if not timing.attributes_survive:
            instance.custom = dict(instance.spec.attributes)
        if not timing.draining_survives and instance.status is InstanceStatus.DRAINING:
            instance.status, instance.drained_by = InstanceStatus.ACTIVE, None
        self._registry.instance_changed(instance)

    def _believe_later(self, instance: ContainerInstance, *, connected: bool, lag: timedelta) -> None:
        if instance.connection_timer is not None:
            instance.connection_timer.cancel()
            instance.connection_timer = None
        if instance.agent_connected is connected:
            return
        instance.connection_timer = self._registry.clock.after(
            lag, lambda: self._believe(instance, connected=connected)
        )

    def _believe(self, instance: ContainerInstance, *, connected: bool) -> None:
        instance.connection_timer = None
        if instance.status is InstanceStatus.INACTIVE or instance.agent_connected is connected:
            return
        instance.agent_connected = connected
        self._registry.instance_changed(instance)


def _built_in_attributes(spec: ContainerInstanceSpec) -> dict[str, str | None]:
    given: dict[str, str | None] = {
        "ecs.ami-id": spec.ami_id,
        "ecs.availability-zone": spec.zone,
        "ecs.cpu-architecture": "x86_64",
        "ecs.instance-type": spec.instance_type,
        "ecs.os-family": "LINUX",
        "ecs.os-type": "linux",
        "ecs.subnet-id": subnet_of(spec.zone),
    }
    given.update(dict.fromkeys(name for name in _CAPABILITIES if name not in spec.lacks))
    given.update((name, value) for name, value in spec.attributes if name.startswith(BUILT_IN_PREFIXES))
    return given
