"""Finds the account and Region of the cluster.

Uses only sources that need no further permission: the ARN in the settings, else the first container instance that ECS
lists, else sts:GetCallerIdentity, which everyone may call. All give the same result for one cluster, so all its runs
use the same keys in the state store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients, Pair
from bottlerocket_ecs_updater.core.model.location import Location, location_of, name_of
from bottlerocket_ecs_updater.errors import NotFound, Unreachable, UpdaterError, UsageError

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient


class _Tokens(Protocol):
    """The Security Token Service client calls that are used."""

    def get_caller_identity(self) -> dict[str, str]: ...


def find_place(cluster: str, clients: Clients, api: Api, region: str | None) -> Location:
    """The location of the cluster, by its name or ARN. Raises UsageError if the ARN is in another account or Region.

    For a name it also raises what `Api.look` raises. For an ARN it ignores those errors: the caller's next call fails
    the same way.
    """
    named = location_of(cluster)
    try:
        listed = _listed(cluster, clients.ecs, api)
    except UpdaterError as error:
        if named is None and isinstance(error, NotFound):
            where = clients.ecs.looking.meta.region_name
            raise NotFound(f"in {where} (see --region), cluster {error}") from error
        if named is None or isinstance(error, UsageError):
            raise
        listed = None
    if named is None:
        return Location(*_who_we_are(listed, cluster, clients, api, region), name_of(cluster))
    if listed is not None and not named.may_be(listed):
        raise UsageError(
            f"the cluster is {cluster}, but the credentials belong to account {listed.account}, and ECS answers for "
            f"{listed.region}: use the ARN of a cluster there, or credentials for account {named.account}"
        )
    return named


def _listed(cluster: str, ecs: Pair[ECSClient], api: Api) -> Location | None:
    """The location of the first container instance that ECS lists; None if the cluster has no instances."""
    method = ecs.looking.list_container_instances
    reply = api.look(Operation.LIST_CONTAINER_INSTANCES, cluster, method, cluster=cluster, maxResults=1)
    return next((place for arn in reply.get("containerInstanceArns", ()) if (place := location_of(arn))), None)


def _who_we_are(
    listed: Location | None, cluster: str, clients: Clients, api: Api, region: str | None
) -> tuple[str, str]:
    if listed is not None:
        return listed.account, listed.region
    tokens = cast("_Tokens", clients.in_region("sts", region))
    try:
        account = api.look(Operation.GET_CALLER_IDENTITY, "", tokens.get_caller_identity)["Account"]
    except UpdaterError as error:
        raise Unreachable(
            f"the cluster {cluster} has no container instances yet, and its account could not be determined: use its "
            f"ARN as the cluster ({error})"
        ) from error
    return account, clients.ecs.looking.meta.region_name
