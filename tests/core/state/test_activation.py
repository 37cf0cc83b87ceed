"""Under which other id Systems Manager may know a host: what is said must be true."""

from __future__ import annotations

import pytest
from tests.core.builders import NOW, instance, ready

from bottlerocket_ecs_updater.aws.ssm_shapes import activated_node
from bottlerocket_ecs_updater.core.model.instance import Instance, Machine, Node, SurveyedFacts
from bottlerocket_ecs_updater.core.state.activation import known_as

OURS, ELSEWHERE = "10.0.0.5", "10.0.0.6"


def host(address: str) -> Instance:
    return instance("i-a", ready(), around=SurveyedFacts(NOW, machine=Machine("running", address=address)))


@pytest.mark.parametrize(
    ("address", "nodes", "said"),
    [
        pytest.param(OURS, [Node("mi-1", OURS, True)], "registered it as mi-1", id="one node with its address"),
        pytest.param(OURS, [Node("mi-1", ELSEWHERE, True)], "", id="a node with another address"),
        pytest.param(
            OURS,
            [Node("mi-2", OURS, True), Node("mi-1", OURS, True)],
            "may have registered it as mi-1 or mi-2",
            id="an old id with the same address",
        ),
        pytest.param(
            OURS,
            [Node("mi-0", OURS), Node("mi-1", OURS, True)],
            "registered it as mi-1",
            id="one is no Bottlerocket host",
        ),
        pytest.param(OURS, [Node("mi-1", OURS)], "may have registered it as mi-1", id="an old version of Bottlerocket"),
        pytest.param("", [Node("mi-1", OURS, True)], "may have registered it as mi-1", id="its address is not known"),
        pytest.param("", [Node("mi-1", OURS)], "", id="neither its address nor a Bottlerocket host is known"),
    ],
)
def test_the_other_id_of_a_host_is_named_as_certain_only_if_it_is(address: str, nodes: list[Node], said: str) -> None:
    name = known_as(host(address), nodes)
    assert name.removeprefix("a hybrid activation ") == said


@pytest.mark.parametrize(
    ("platform", "possible"), [("Bottlerocket", True), ("Amazon Linux", True), ("Ubuntu", False), ("Windows", False)]
)
def test_a_node_with_another_operating_system_is_none_of_our_hosts(platform: str, *, possible: bool) -> None:
    """Private addresses repeat: a server elsewhere may have the same one."""
    shape = {"InstanceId": "mi-1", "IPAddress": OURS, "PlatformName": platform}
    assert (activated_node(shape) is not None) is possible  # type: ignore[arg-type] # a part of an answer
