"""The managed nodes of Systems Manager: which hosts it reaches, and those of hybrid activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ssm_shapes import activated_node, managed
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, narrow, pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.container_instance import ManagedNode, PingStatus
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Node

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import DescribeInstanceInformationRequestTypeDef, InstanceInformationTypeDef

REACHED_AT_ONCE = 50
"""DescribeInstanceInformation accepts 100 ids and returns 50 instances a page."""

ACTIVATED_PAGES = 4
"""Pages to search for nodes of hybrid activations, which are only used for advice."""


class SsmNodes:
    """The nodes, and the hybrid activations seen so far."""

    def __init__(self, clients: Pair[SSMClient], api: Api) -> None:
        self._clients = clients
        self._api = api
        self._activated: dict[str, Node] = {}
        """Nodes from hybrid activations that were seen so far."""

    def reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        """Whether Systems Manager has a connection to each of these instances, and the version that each runs.

        Looks instances up by id, 50 a call, because an account may have thousands of other managed nodes. An instance
        that Systems Manager does not know, or knows by another id than ECS (after a hybrid activation), is left out.
        """
        found: dict[InstanceId, ManagedNode] = {}
        for some in chunks(instances, REACHED_AT_ONCE):
            found |= narrow(some, self._reach, lambda _, __: ManagedNode(PingStatus.UNKNOWN))
        return found

    def _reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        found: dict[InstanceId, ManagedNode] = {}
        request: DescribeInstanceInformationRequestTypeDef = {
            "MaxResults": REACHED_AT_ONCE,
            "Filters": [{"Key": "InstanceIds", "Values": instances}],
        }

        def ask(token: str | None) -> str | None:
            asked: DescribeInstanceInformationRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.describe_instance_information
            reply = self._api.look(Operation.DESCRIBE_INSTANCE_INFORMATION, "*", method, **asked)
            for shape in reply.get("InstanceInformationList", ()):
                found[InstanceId(shape.get("InstanceId", ""))] = managed(shape)
                self._note_activated(shape)
            # There may be more pages even when all instances are found: stop then.
            return reply.get("NextToken") if any(id_ not in found for id_ in instances) else None

        for _ in pages(ask, lambda token: token):
            pass
        return found

    def activated(self) -> Sequence[Node]:
        """Nodes from hybrid activations, from the first few pages: an account may have thousands."""
        request: DescribeInstanceInformationRequestTypeDef = {
            "MaxResults": REACHED_AT_ONCE,
            "Filters": [{"Key": "ResourceType", "Values": ["ManagedInstance"]}],
        }
        token: str | None = None
        for _ in range(ACTIVATED_PAGES):
            asked: DescribeInstanceInformationRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.describe_instance_information
            reply = self._api.look(Operation.DESCRIBE_INSTANCE_INFORMATION, "*", method, **asked)
            for shape in reply.get("InstanceInformationList", ()):
                self._note_activated(shape)
            token = reply.get("NextToken")
            if not token:
                break
        return tuple(self._activated.values())

    def _note_activated(self, shape: InstanceInformationTypeDef) -> None:
        node = activated_node(shape)
        if node is not None:
            self._activated[node.id] = node
