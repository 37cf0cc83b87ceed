"""The clusters of an account and Region, and the reply to the state machine that asked for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.location import Location, location_of

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient

_DESCRIBE_MAX = 100
_CAUSE_MAX_CHARACTERS = 32_000
"""Source: the pattern of SensitiveCause in the service's model allows 32,768."""


class _States(Protocol):
    """The Step Functions client calls that are used."""

    def send_task_success(self, *, taskToken: str, output: str) -> object: ...  # noqa: N803 - the service's names
    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> object: ...  # noqa: N803 - the same


def find_clusters(clients: Pair[ECSClient], api: Api) -> Mapping[Location, Mapping[str, str]]:
    """Tags by cluster, for every active cluster that has instances. Raises what `Api.look` raises.

    A cluster without instances has nothing to update: for example, the one that runs the updater's own tasks.
    """
    found = api.look_at_pages(Operation.LIST_CLUSTERS, "", clients.looking.list_clusters, {})
    arns = [arn for page in found for arn in page.get("clusterArns", ())]
    clusters: dict[Location, Mapping[str, str]] = {}
    for some in chunks(arns, _DESCRIBE_MAX):
        method = clients.looking.describe_clusters
        reply = api.look(Operation.DESCRIBE_CLUSTERS, "", method, clusters=some, include=["TAGS"])
        for shape in reply.get("clusters", ()):
            place = location_of(shape.get("clusterArn", ""))
            active = shape.get("status", "ACTIVE") == "ACTIVE" and shape.get("registeredContainerInstancesCount", 0)
            if active and place is not None:
                tags = {tag.get("key", ""): tag.get("value", "") for tag in shape.get("tags", ())}
                clusters[place] = tags
    return clusters


class TaskCallback:
    """The state machine that waits for this task's reply."""

    def __init__(self, client: Callable[[], _States], api: Api, token: str) -> None:
        self._client = client
        self._api = api
        self._token = token

    def succeed(self, output: Mapping[str, object]) -> None:
        """Report success with this output. Raises what `Api.act` raises."""
        method = self._client().send_task_success
        self._api.act(Operation.SEND_TASK_SUCCESS, "", method, taskToken=self._token, output=json.dumps(output))

    def fail(self, why: str) -> None:
        """Report failure with this cause."""
        method, cause = self._client().send_task_failure, why[:_CAUSE_MAX_CHARACTERS]
        self._api.act(Operation.SEND_TASK_FAILURE, "", method, taskToken=self._token, error="NoWaves", cause=cause)
