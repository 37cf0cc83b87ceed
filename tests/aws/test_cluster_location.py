"""Finding the cluster's account and Region: from its ARN, its instances or the caller, always with the same result."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.aws.fakes import Bench, FakeEcs, Shape, instance, refusal

from bottlerocket_ecs_updater.aws.cluster_location import find_place
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.errors import Denied, NotFound, Unreachable, UsageError

HERE = Location("111122223333", "eu-west-1", "web")
ARN = "arn:aws:ecs:eu-west-1:111122223333:cluster/web"


class Clients:
    """ECS and Security Token Service, of one account and Region."""

    def __init__(self, ecs: FakeEcs, identity: Callable[[], Shape]) -> None:
        ecs.meta = SimpleNamespace(region_name="eu-west-1")  # type: ignore[attr-defined]
        self.ecs = Pair.of(cast("Any", ecs))
        self.asked: list[tuple[str, str | None]] = []
        self._identity = identity

    def in_region(self, service: str, region: str | None) -> object:
        self.asked.append((service, region))
        return SimpleNamespace(get_caller_identity=self._identity)


def clients_of(bench: Bench, account: str = "111122223333") -> Clients:
    return Clients(bench.ecs, lambda: {"Account": account})


def found(bench: Bench, cluster: str = "web", clients: Clients | None = None) -> Location:
    return find_place(cluster, cast("Any", clients or clients_of(bench)), bench.api, None)


def test_a_name_is_placed_by_the_first_instance_that_ecs_lists() -> None:
    bench = Bench()
    bench.ecs.add(instance(1))
    clients = clients_of(bench, "999999999999")
    assert found(bench, clients=clients) == HERE
    assert clients.asked == []
    assert bench.ecs.count("list_container_instances") == 1


def test_a_name_of_an_empty_cluster_is_placed_by_who_we_are() -> None:
    bench = Bench()
    clients = clients_of(bench)
    assert found(bench, clients=clients) == HERE
    assert clients.asked == [("sts", None)]


def test_an_arn_is_placed_by_itself_and_agrees_with_what_is_listed() -> None:
    bench = Bench()
    assert found(bench, ARN) == HERE
    bench.ecs.add(instance(1))
    assert found(bench, ARN) == HERE


@pytest.mark.parametrize(
    "trouble",
    [
        refusal("ServerException", status=500),
        refusal("AccessDeniedException"),
        refusal("ClusterNotFoundException"),
        refusal("ExpiredTokenException"),
    ],
    ids=lambda error: error.response["Error"]["Code"],
)
def test_an_arn_is_placed_though_ecs_does_not_answer(trouble: Exception) -> None:
    bench = Bench()
    bench.ecs.troubles["list_container_instances"] = [trouble] * 10
    assert found(bench, ARN) == HERE


@pytest.mark.parametrize("other", [ARN.replace("111122223333", "999999999999"), ARN.replace("eu-west-1", "us-east-1")])
def test_an_arn_of_another_account_or_region_than_that_which_answers_is_refused(other: str) -> None:
    bench = Bench()
    bench.ecs.add(instance(1))
    with pytest.raises(UsageError, match="111122223333"):
        found(bench, other)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (refusal("ServerException", status=500), Unreachable),
        (refusal("AccessDeniedException"), Denied),
        (refusal("ClusterNotFoundException"), NotFound),
    ],
)
def test_a_name_without_a_known_place_is_an_error(trouble: Exception, error: type[Exception]) -> None:
    bench = Bench()
    bench.ecs.troubles["list_container_instances"] = [trouble] * 10
    with pytest.raises(error):
        found(bench)


def test_an_empty_cluster_without_a_known_place_is_an_error_with_a_remedy() -> None:
    def nobody() -> Shape:
        raise refusal("ServiceUnavailable", status=503)

    bench = Bench()
    with pytest.raises(Unreachable, match="use its ARN"):
        found(bench, clients=Clients(bench.ecs, nobody))


def test_an_unknown_cluster_is_reported_with_its_region() -> None:
    bench = Bench()
    bench.ecs.troubles["list_container_instances"] = [refusal("ClusterNotFoundException")]
    with pytest.raises(NotFound, match=r"^in eu-west-1 \(see --region\), cluster web does not exist"):
        found(bench)
