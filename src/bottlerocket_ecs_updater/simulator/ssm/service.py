"""Run Command: operations in botocore's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.errors import AwsError

from .timing import SsmTiming

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.clock import Clock
    from bottlerocket_ecs_updater.simulator.host import Host

Shape = dict[str, Any]


class RunCommand:
    """The service. Requests and replies are dictionaries as botocore's models describe them."""

    def __init__(
        self,
        clock: Clock,
        chances: random.Random,
        timing: SsmTiming | None = None,
        document_source: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._chances = chances
        self._timing = timing or SsmTiming()
        self._document_source = document_source
        self._hosts: dict[str, Host] = {}

    def register(self, host: Host) -> None:
        """Make a host a managed instance, online from now."""
        self._hosts[host.instance_id] = host

    def forget(self, instance_id: str) -> None:
        """Drop a managed instance, as SSM does with a terminated one; harmless for one that it never knew."""
        self._hosts.pop(instance_id, None)

    def send_command(self, request: Shape) -> Shape:
        """SendCommand."""
        raise AwsError("InvalidDocument", "", 400)

    def get_command_invocation(self, request: Shape) -> Shape:
        """GetCommandInvocation."""
        raise AwsError("InvocationDoesNotExist", "", 400)

    def list_command_invocations(self, request: Shape) -> Shape:
        """ListCommandInvocations."""
        return {"CommandInvocations": []}

    def list_commands(self, request: Shape) -> Shape:
        """ListCommands."""
        return {"Commands": []}

    def cancel_command(self, request: Shape) -> Shape:
        """CancelCommand."""
        return {}

    def describe_instance_information(self, request: Shape) -> Shape:
        """DescribeInstanceInformation."""
        return {"InstanceInformationList": []}
