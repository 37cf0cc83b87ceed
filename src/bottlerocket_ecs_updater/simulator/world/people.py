"""Connects hosts to ECS and SSM, and performs what other people do to instances during their update."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

from bottlerocket_ecs_updater.simulator.ecs import Workload
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.ecs.requests import arn_like
from bottlerocket_ecs_updater.simulator.faults import (
    ClaimDeleted,
    Deregistered,
    GroupKeepsWarm,
    GroupTakes,
    InBetween,
    InstanceStopped,
    InstanceTerminated,
    NewContainerInstance,
    SetStatus,
    SomebodySets,
    SomebodyStages,
    SpotInterrupted,
    Step,
    TaskArrives,
)
from bottlerocket_ecs_updater.simulator.host import Power

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.world import World


Person = (
    InstanceTerminated
    | InstanceStopped
    | GroupTakes
    | GroupKeepsWarm
    | SomebodySets
    | SomebodyStages
    | SpotInterrupted
    | Deregistered
    | ClaimDeleted
)
"""Faults that act once on an instance: at a time, or after a step of its update."""


class People:
    """Passes host events on to the services that would notice them, and performs the acts of people in the plan."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[str, list[Person]] = {}
        """By host: acts that wait for a step; each is performed once."""

    def follow(self, host: Host) -> None:
        """Listen to a host from its start."""
        host.on_containers_die.append(self._containers_died)
        host.on_ecs_agent.append(self._ecs_agent_changed)
        host.on_boot.append(self._booted)
        host.on_terminate.append(self._terminated)
        host.on_step.append(self.step_began)
        kinds: tuple[type[Person], ...] = get_args(Person)
        people = [fault for kind in kinds for fault in host.active_faults.all(kind)]
        for fault in people:
            if fault.step is None:
                self._world.clock.after(fault.at, partial(self._act, host, fault))
        for between in host.active_faults.all(InBetween):
            self._world.clock.after(between.at, partial(self._come_between, host, between))
        self._waiting[host.instance_id] = [fault for fault in people if fault.step is not None]

    def served(self, call: Call) -> None:
        """Note drains and returns in ECS, because these are steps, too."""
        if call.operation != "UpdateContainerInstancesState" or call.caller in self._world.watch.operators:
            return
        step = Step.DRAIN if call.params["status"] == "DRAINING" else Step.RETURN
        for name in call.params["containerInstances"]:
            instance = self._world.cluster.instances.get(arn_like(self._world.cluster, "container-instance", name))
            if instance is not None:
                self.step_began(self._world.hosts[instance.ec2_instance_id], step)

    def step_began(self, host: Host, step: Step) -> None:
        """A step of an instance's update starts: acts that wait for it follow, `at` later."""
        if step is Step.REBOOT and host.active_faults.strike(TaskArrives) is not None:
            self._place_task(host)
        waiting = self._waiting[host.instance_id]
        for fault in [each for each in waiting if each.step is step]:
            waiting.remove(fault)
            self._world.clock.after(fault.at, partial(self._act, host, fault))

    def _act(self, host: Host, fault: Person) -> None:
        match fault:
            case InstanceTerminated():
                host.terminate()
            case InstanceStopped(lasts=lasts):
                host.stop()
                if lasts is not None:
                    self._world.clock.after(lasts, host.start)
            case GroupTakes(hook=hook, drains=drains):
                self._world.take_away(host.instance_id, hook=hook, drains=drains)
            case GroupKeepsWarm(hook=hook, lasts=lasts):
                self._world.keep_warm(host.instance_id, hook=hook, lasts=lasts)
            case SomebodySets(SetStatus.ACTIVE):
                self._world.operator_activate(host.instance_id)
            case SomebodySets(SetStatus.DRAINING):
                self._world.operator_drain(host.instance_id)
            case SomebodyStages(version):
                self._world.stage_by_hand(host.instance_id, version)
            case SpotInterrupted(drains=drains):
                self._world.interrupt(host.instance_id, drains=drains)
            case Deregistered():
                self._world.deregister_by_hand(host.instance_id)
            case ClaimDeleted():
                self._world.delete_claim(host.instance_id)
            case _:
                raise AssertionError(fault)

    def _come_between(self, host: Host, fault: InBetween) -> None:
        """Only ACTIVE instances change this way, and are ACTIVE again afterwards."""
        status = InstanceStatus(fault.status)
        self._change(host, InstanceStatus.ACTIVE, status)
        if fault.lasts is not None:
            self._world.clock.after(fault.lasts, partial(self._change, host, status, InstanceStatus.ACTIVE))

    def _change(self, host: Host, before: InstanceStatus, after: InstanceStatus) -> None:
        instance = self._world.instance(host.instance_id)
        if instance.status is before:
            instance.status = after
            self._world.ecs.registry.instance_changed(instance)

    def _place_task(self, host: Host) -> None:
        instance = self._world.instance(host.instance_id)
        if instance.accepts_tasks:
            self._world.run_standalone_task(host.instance_id, Workload(), "arrived")

    def _containers_died(self, host: Host, _: str) -> None:
        self._world.ecs.agents.containers_died(self._world.instance(host.instance_id))

    def _ecs_agent_changed(self, host: Host, up: bool) -> None:  # noqa: FBT001 - the shape of Host's listeners
        instance = self._world.instance(host.instance_id)
        if up:
            self._world.ecs.agents.came_up(instance)
        else:
            # An agent that exits by itself disconnects cleanly; if its host goes down, ECS notices a little later.
            self._world.ecs.agents.went_down(instance, missed=host.power is not Power.RUNNING)

    def _booted(self, host: Host) -> None:
        lost = host.active_faults.strike(NewContainerInstance) is not None
        self._world.ecs.agents.booted(self._world.instance(host.instance_id), checkpoint_lost=lost)

    def _terminated(self, host: Host) -> None:
        self._world.ecs.agents.terminated(self._world.instance(host.instance_id))
        self._world.ssm.forget(host.node_id)
