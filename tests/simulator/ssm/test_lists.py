"""Lists of commands and instances: pages, filters, orders."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulator.ssm_bench import SsmBench, conforms, document, ssm_bench

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.faults import OutOfReach, SsmUnreachable


def pages(bench: SsmBench, operation: str, key: str, **request: Any) -> list[list[Any]]:
    """Every page of a list operation."""
    call = getattr(bench.service, operation)
    found, token = [], None
    while True:
        reply = call({**request, **({"NextToken": token} if token else {})})
        found.append(reply[key])
        token = reply.get("NextToken")
        if token is None:
            return found


def test_instances_come_in_pages_of_ten_by_default() -> None:
    bench = ssm_bench(hosts=23)
    describe = "describe_instance_information", "InstanceInformationList"
    assert [len(page) for page in pages(bench, *describe)] == [10, 10, 3]
    assert [len(page) for page in pages(bench, *describe, MaxResults=50)] == [23]
    every = [each["InstanceId"] for page in pages(bench, *describe, MaxResults=7) for each in page]
    assert every == bench.ids


@pytest.mark.parametrize("size", [4, 51])
def test_a_page_of_instances_has_its_limits(size: int) -> None:
    with pytest.raises(AwsError, match="ValidationException"):
        ssm_bench().instances(MaxResults=size)


@pytest.mark.parametrize("key", ["Filters", "InstanceInformationFilterList"])
def test_instances_are_found_by_their_ids(key: str) -> None:
    bench = ssm_bench(hosts=5)
    wanted = [bench.ids[3], bench.ids[1], "i-ffffffffffffffff0"]
    names = ("Key", "Values") if key == "Filters" else ("key", "valueSet")
    found = bench.instances(**{key: [{names[0]: "InstanceIds", names[1]: wanted}]})
    assert [each["InstanceId"] for each in found] == [bench.ids[1], bench.ids[3]]


def test_instances_are_found_by_their_connection() -> None:
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST), hosts=3)
    found = bench.instances(Filters=[{"Key": "PingStatus", "Values": ["Online"]}])
    assert [each["InstanceId"] for each in found] == bench.ids[1:]


def test_a_filter_that_does_not_exist_or_has_too_many_values_is_refused() -> None:
    bench = ssm_bench()
    with pytest.raises(AwsError, match="InvalidFilterKey"):
        bench.instances(Filters=[{"Key": "Colour", "Values": ["red"]}])
    with pytest.raises(AwsError, match="ValidationException"):
        bench.instances(Filters=[{"Key": "InstanceIds", "Values": ["i-0"] * 101}])


@pytest.mark.parametrize("token", ["nonsense", "YWZ0ZXI6eA==", "%%%"])
def test_a_token_that_was_never_issued_is_refused(token: str) -> None:
    bench = ssm_bench()
    with pytest.raises(AwsError, match="InvalidNextToken"):
        bench.instances(NextToken=token)
    with pytest.raises(AwsError, match="InvalidNextToken"):
        bench.listed(NextToken=token)


def test_commands_come_newest_first_and_a_new_one_does_not_shift_the_pages() -> None:
    bench = ssm_bench()
    sent = [bench.send("check") for _ in range(4)]
    bench.pass_time(60)
    first = conforms("ListCommands", bench.service.list_commands({"MaxResults": 2}))
    bench.send("check")
    bench.pass_time(60)
    second = bench.service.list_commands({"MaxResults": 2, "NextToken": first["NextToken"]})
    listed = [each["CommandId"] for page in (first, second) for each in page["Commands"]]
    assert (listed, "NextToken" in second) == (sent[::-1], False)


def test_commands_of_one_instance_are_those_that_were_sent_to_it() -> None:
    bench = ssm_bench(hosts=2)
    bench.send("check", bench.ids[0])
    mine = bench.send("check", bench.ids[1])
    both = bench.send("apply")
    bench.pass_time(60)
    of_second = bench.service.list_commands({"InstanceId": bench.ids[1]})["Commands"]
    assert [each["CommandId"] for each in of_second] == [both, mine]
    assert [each["CommandId"] for each in bench.listed(InstanceId=bench.ids[1])] == [both, mine]


def test_an_unknown_command_lists_nothing() -> None:
    assert ssm_bench().listed(CommandId="0" * 36) == []


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("Status", "Success", ["check"]),
        ("Status", "InProgress", ["long"]),
        ("ExecutionStage", "Complete", ["check"]),
        ("ExecutionStage", "Executing", ["long"]),
        ("DocumentName", "long", ["long"]),
        ("InvokedAfter", "2026-01-05T09:00:30Z", ["long"]),
        ("InvokedBefore", "2026-01-05T09:00:30Z", ["check"]),
    ],
)
def test_commands_and_invocations_are_filtered(key: str, value: str, found: list[str]) -> None:
    bench = ssm_bench()
    bench.documents["long"] = document("sleep 600")
    bench.send("check")
    bench.pass_time(60)
    bench.send("long")
    bench.pass_time(60)
    filters = [{"key": key, "value": value}]
    commands = bench.service.list_commands({"Filters": filters})["Commands"]
    assert [each["DocumentName"] for each in commands] == found
    assert [each["DocumentName"] for each in bench.listed(Filters=filters)] == found


def test_an_unknown_filter_of_commands_is_refused() -> None:
    with pytest.raises(AwsError, match="InvalidFilterKey"):
        ssm_bench().listed(Filters=[{"key": "Mood", "value": "good"}])


@pytest.mark.parametrize("size", [0, 51])
def test_a_page_of_invocations_has_its_limits(size: int) -> None:
    with pytest.raises(AwsError, match="ValidationException"):
        ssm_bench().listed(MaxResults=size)


def test_a_command_counts_its_ends_and_takes_the_worst_for_its_own() -> None:
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST), hosts=3)
    command_id = bench.send("check", TimeoutSeconds=60)
    bench.pass_time(30)
    command = bench.service.list_commands({"CommandId": command_id})["Commands"][0]
    assert (command["Status"], command["CompletedCount"], command["TargetCount"]) == ("InProgress", 2, 3)
    bench.pass_time(60)
    command = bench.service.list_commands({"CommandId": command_id})["Commands"][0]
    assert (command["Status"], command["StatusDetails"], command["ErrorCount"]) == ("Failed", "Undeliverable", 1)
