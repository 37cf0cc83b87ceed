"""The managed nodes of Systems Manager: which hosts it reaches, and those of hybrid activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ssm_shapes import activated_node, managed
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, narrow
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
        for shapes in self._pages(request):
            for shape in shapes:
                found[InstanceId(shape.get("InstanceId", ""))] = managed(shape)
                self._note_activated(shape)
            # There may be more pages even when all instances are found.
            if all(id_ in found for id_ in instances):
                break
        return found

    def activated(self) -> Sequence[Node]:
        """Nodes from hybrid activations, from the first few pages: an account may have thousands."""
        request: DescribeInstanceInformationRequestTypeDef = {
            "MaxResults": REACHED_AT_ONCE,
            "Filters": [{"Key": "ResourceType", "Values": ["ManagedInstance"]}],
        }
        for shapes in islice(self._pages(request), ACTIVATED_PAGES):
            for shape in shapes:
                self._note_activated(shape)
        return tuple(self._activated.values())

    def _pages(
        self, request: DescribeInstanceInformationRequestTypeDef
    ) -> Iterator[Sequence[InstanceInformationTypeDef]]:
        method, operation = self._clients.looking.describe_instance_information, Operation.DESCRIBE_INSTANCE_INFORMATION
        for reply in self._api.look_at_pages(operation, "*", method, request, "NextToken"):
            yield reply.get("InstanceInformationList", ())

    def _note_activated(self, shape: InstanceInformationTypeDef) -> None:
        node = activated_node(shape)
        if node is not None:
            self._activated[node.id] = node
