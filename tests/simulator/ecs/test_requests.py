"""Limits, filters, pages and errors of the ECS operations."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import ECS_PAGES, list_page


@pytest.fixture(scope="module")
def b() -> Bench:
    """Five instances, of which nothing changes."""
    return bench(5, services=(replica(desired=10), replica("api", 5), daemon()))


def listed(b: Bench, expression: str) -> list[int]:
    arns = b.ecs.list_container_instances(cluster="demo", filter=expression)["containerInstanceArns"]
    return [number for number in range(5) if b.arn(number) in arns]


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        ("attribute:ecs.availability-zone == us-east-1a", [0, 3]),
        ("attribute:ecs.availability-zone != us-east-1a", [1, 2, 4]),
        ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", [0, 1, 3, 4]),
        ("attribute:ecs.availability-zone not_in [us-east-1a, us-east-1b]", [2]),
        ("attribute:ecs.availability-zone =~ [a]", None),
        ("attribute:bottlerocket.variant exists", [0, 1, 2, 3, 4]),
        ("attribute:nothing exists", []),
        ("attribute:nothing not_exists and agentConnected == true", [0, 1, 2, 3, 4]),
        (f"ec2InstanceId == {instance_id(2)}", [2]),
        (f"ec2InstanceId == {instance_id(2)} or ec2InstanceId == {instance_id(3)}", [2, 3]),
        ("not (attribute:ecs.availability-zone == us-east-1a)", [1, 2, 4]),
        ("runningTasksCount > 2", [0, 1, 2, 3, 4]),
        ("runningTasksCount >= 6", []),
        ("agentConnected == false", []),
    ],
)
def test_the_query_language_finds(b: Bench, expression: str, numbers: list[int] | None) -> None:
    if numbers is None:
        with pytest.raises(ClientError, match="InvalidParameterException"):
            listed(b, expression)
    else:
        assert listed(b, expression) == numbers


@pytest.mark.parametrize("expression", ["(", "attribute:a ==", "nothing == 1", "attribute:a == b c", "a & b"])
def test_an_invalid_expression_is_rejected(b: Bench, expression: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        listed(b, expression)


def test_paging_lists_every_instance_once(b: Bench) -> None:
    pages = b.ecs.get_paginator("list_container_instances").paginate(cluster="demo", maxResults=2)
    assert [len(each["containerInstanceArns"]) for each in pages] == [2, 2, 1]
    assert pages.build_full_result()["containerInstanceArns"] == [b.arn(number) for number in range(5)]


def test_services_come_ten_a_page_by_default() -> None:
    b = bench(1, services=tuple(replica(f"s{number}", 0) for number in range(12)))
    first = b.ecs.list_services(cluster="demo")
    assert len(first["serviceArns"]) == 10
    assert len(b.ecs.list_services(cluster="demo", nextToken=first["nextToken"])["serviceArns"]) == 2


def test_tasks_of_a_service_on_an_instance_are_found(b: Bench) -> None:
    arns = b.ecs.list_tasks(cluster="demo", containerInstance=b.arn(1), serviceName="web")["taskArns"]
    assert len(arns) == 2


def test_a_short_id_and_an_arn_mean_the_same(b: Bench) -> None:
    short = b.arn(1).rsplit("/", 1)[1]
    found = b.ecs.describe_container_instances(cluster="demo", containerInstances=[short])["containerInstances"]
    assert [each["containerInstanceArn"] for each in found] == [b.arn(1)]


def test_a_cluster_may_be_named_by_its_arn(b: Bench) -> None:
    arn = b.world.cluster.arn
    assert b.ecs.list_container_instances(cluster=arn)["containerInstanceArns"]


def test_a_missing_resource_is_a_failure_with_its_arn(b: Bench) -> None:
    answer = b.ecs.describe_container_instances(cluster="demo", containerInstances=[b.arn(0), "f" * 32])
    failed = [(each["arn"].rsplit("/", 1)[1], each["reason"]) for each in answer["failures"]]
    assert (len(answer["containerInstances"]), failed) == (1, [("f" * 32, "MISSING")])


def test_attributes_are_listed_by_name_and_value(b: Bench) -> None:
    answer = b.ecs.list_attributes(
        cluster="demo",
        targetType="container-instance",
        attributeName="ecs.availability-zone",
        attributeValue="us-east-1b",
    )
    assert [each["targetId"] for each in answer["attributes"]] == [b.arn(1), b.arn(4)]


def test_an_attribute_is_written_over_and_deleted() -> None:
    b = bench(1)
    b.put(0, "note", "one")
    b.put(0, "note", "two")
    assert {"name": "note", "value": "two"} in b.show(0)["attributes"]
    b.ecs.delete_attributes(cluster="demo", attributes=[{"name": "note", "targetId": b.arn(0)}])
    assert all(each["name"] != "note" for each in b.show(0)["attributes"])


def test_the_tenth_custom_attribute_is_the_last_one() -> None:
    b = bench(1)
    for number in range(9):
        b.put(0, f"a{number}", "x")
    with pytest.raises(ClientError, match="AttributeLimitExceededException"):
        b.put(0, "one-more", "x")
    b.put(0, "a0", "y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n" * 129, "x"),
        ("name", "v" * 129),
        ("na me", "x"),
        ("name", "semi;colon"),
        ("name", " leading"),
        ("name", "trailing "),
        ("ecs.mine", "x"),
        ("com.amazonaws.ecs.mine", "x"),
    ],
)
def test_an_attribute_that_ecs_cannot_hold_is_refused(b: Bench, name: str, value: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        b.put(0, name, value)


def test_an_attribute_of_every_allowed_character_is_held() -> None:
    b = bench(1)
    b.put(0, "a-Z_0./\\", "a-Z_0.@/\\: " + "x" * 117)


def test_a_call_that_is_wrong_changes_nothing() -> None:
    b = bench(1)
    attributes: list[dict[str, Any]] = [
        {"name": "good", "value": "x", "targetId": b.arn(0)},
        {"name": "bad", "value": "x", "targetId": b.arn(0)[:-1] + "z"},
    ]
    with pytest.raises(ClientError, match="TargetNotFoundException"):
        b.ecs.put_attributes(cluster="demo", attributes=attributes)
    assert all(each["name"] != "good" for each in b.show(0)["attributes"])


def test_a_service_that_is_not_there_is_an_error_for_a_list_and_a_failure_for_a_description(b: Bench) -> None:
    with pytest.raises(b.ecs.exceptions.ServiceNotFoundException):
        b.ecs.list_tasks(cluster="demo", serviceName="nothing")
    failures = b.ecs.describe_services(cluster="demo", services=["nothing"])["failures"]
    assert [each["reason"] for each in failures] == ["MISSING"]


class _Record:
    def __init__(self, number: int) -> None:
        self.number = number


@given(st.integers(0, 40), st.integers(1, 12), st.sets(st.integers(1, 40)))
def test_pages_stay_right_while_records_disappear(count: int, size: int, disappear: set[int]) -> None:
    records = [_Record(number) for number in range(1, count + 1)]
    seen: list[int] = []
    token = None
    while True:
        found, more = list_page(records, {"nextToken": token, "maxResults": size}, ECS_PAGES, 100)
        token = more.get("nextToken")
        seen += [record.number for record in found]
        if token is None:
            break
        records = [record for record in records if record.number not in disappear]
    assert len(seen) == len(set(seen))
    assert set(range(1, count + 1)) - disappear <= set(seen)


@pytest.mark.parametrize("size", [0, 101])
def test_a_page_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(AwsError, match="maxResults"):
        list_page([], {"maxResults": size}, ECS_PAGES, 100)
