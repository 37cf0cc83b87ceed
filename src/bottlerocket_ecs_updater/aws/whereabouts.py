"""Which cluster it is that we talk to: its account and Region, beside its name.

Asked of whoever knows it without a further permission: the ARN in the settings, else the first container instance that
ECS lists, else Security Token Service, which tells everybody who they are. All say the same of one cluster, so that all
its runs come to the same place in the state store.
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
    """What of a client of Security Token Service is used."""

    def get_caller_identity(self) -> dict[str, str]: ...


def find_place(cluster: str, clients: Clients, api: Api, region: str | None) -> Location:
    """Where the cluster is, by its name or ARN. Raises UsageError where its ARN is of another account or Region.

    Of a name it raises what ECS makes of it, too. An ARN says it all: what keeps ECS from an answer, the caller meets.
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
            f"the cluster is {cluster}, but the credentials are of account {listed.account}, and ECS answers for "
            f"{listed.region}: give the ARN of a cluster there, or credentials of account {named.account}"
        )
    return named


def _listed(cluster: str, ecs: Pair[ECSClient], api: Api) -> Location | None:
    """Where the first container instance is that ECS lists; None for a cluster that has none."""
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
            f"the cluster {cluster} has no container instance yet, and its account could not be found out: give its "
            f"ARN as the cluster ({error})"
        ) from error
    return account, clients.ecs.looking.meta.region_name
