"""Reads which hosts Systems Manager knows, and whether it reaches them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from bottlerocket_ecs_updater.core.decision.not_counted import set_aside
from bottlerocket_ecs_updater.core.model.container_instance import ManagedNode, PingStatus
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.state.activation import known_as
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.ports import Hosts


class ManagedNodeLooks:
    """Asks Systems Manager about hosts: about all of them from time to time, and about new ones immediately."""

    def __init__(self, context: LookContext, hosts: Hosts) -> None:
        self._known = context.known
        self._policy = context.policy
        self._calls = context.calls
        self._hosts = hosts
        self._reached_at: datetime | None = None
        self._reached: set[InstanceId] = set()

    def reach(self) -> None:
        """Ask Systems Manager about all hosts from time to time, and about new hosts immediately."""
        now = self._known.now
        due = self._reached_at is None or has_passed(self._reached_at, self._policy.report_max_age, now)
        ours = [one for one in self._known.instances.values() if one.bottlerocket]
        asked = ours if due else [one for one in ours if one.id not in self._reached]
        ids = [instance.id for instance in asked]
        reach = self._calls.ask("ssm:DescribeInstanceInformation", partial(self._hosts.reach, ids))
        # Not before the call: if it fails, the next look asks again.
        self._reached_at = now if due else self._reached_at
        self._reached |= {*ids}
        if reach is None:
            return
        for instance in asked:
            managed = reach.get(instance.id, ManagedNode(PingStatus.UNKNOWN))
            found = replace(instance, reach=managed.reach, ping=managed.ping, shown_version=managed.version)
            if found != instance:
                self._known.learn(found)

    def find_activated(self) -> None:
        """Find hosts that Systems Manager may know under another id (hybrid activation)."""
        known = self._known.instances
        unknown = [one for one in known.values() if one.reach is PingStatus.UNKNOWN and _could_be_known(one)]
        if not unknown:
            return
        nodes = self._calls.ask("ssm:DescribeInstanceInformation", self._hosts.activated) or ()
        for instance in unknown:
            self._known.learn(replace(instance, node=known_as(instance, nodes)))


def _could_be_known(instance: Instance) -> bool:
    """Whether it is a connected host of ours, and nothing else explains why Systems Manager does not know it."""
    connected = instance.registration is not None and instance.registration.connected
    return instance.bottlerocket and connected and not instance.ping and set_aside(instance) is None
