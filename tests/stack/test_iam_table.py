"""The table of IAM actions per operation, compared with the Service Authorization Reference in parliament."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.account.iam.iam_requests import TABLE
from tests.account.iam.matching import like_ignoring_case
from tests.stack.stage import deployed, several, statements

from bottlerocket_ecs_updater.aws.transport.operation import Operation

ROLES = ["TaskRole", "ExecutionRole", "CronRole"]
EVERYTHING = {
    "AutoScalingGroups": "a",
    "Alarms": "checkout-errors,web-*",
    "ChangeCalendars": "arn:aws:ssm:us-east-1:123456789012:document/changes",
    "BeforeDrainDocument": "leave-the-mesh",
    "AfterRebootDocument": "vet-the-host",
    "InstanceTag": "b",
    "EventBus": "default",
    "StopTasks": "ENABLED",
    "WebhookSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "ScheduleTimezone": "Europe/Berlin",
}
NEEDS_EVERYTHING = {"cloudwatch:DescribeAlarms", "ecs:DescribeCapacityProviders"}
"""Composite alarms are visible only with permission for all alarms.

Capacity providers belong to the account, not to a cluster, so their names are not known when the stack is created.
"""


@cache
def reference() -> dict[str, Any]:
    """Resource types by action: whether each is required, and the condition keys of the action."""
    found = find_spec("parliament")
    assert found is not None
    assert found.origin is not None
    services = json.loads(Path(found.origin).with_name("iam_definition.json").read_text())
    return {
        f"{service['prefix']}:{privilege['privilege']}": privilege["resource_types"]
        for service in services
        for privilege in service["privileges"]
    }


def types_of(action: str) -> set[str]:
    return {each["resource_type"].rstrip("*") for each in reference()[action]} - {""}


def required_types_of(action: str) -> set[str]:
    return {each["resource_type"].rstrip("*") for each in reference()[action] if each["resource_type"].endswith("*")}


def keys_of(action: str) -> set[str]:
    return {key.lower() for each in reference()[action] for key in each["condition_keys"]}


@pytest.mark.parametrize("action", sorted(TABLE))
def test_an_action_asks_about_the_kind_of_resource_that_it_takes(action: str) -> None:
    assert {TABLE[action].kind} - {""} == required_types_of(action)


@pytest.mark.parametrize("action", sorted(TABLE))
def test_an_action_brings_only_condition_keys_that_it_has(action: str) -> None:
    assert {key.lower() for key in TABLE[action].keys} <= keys_of(action)


def test_everything_that_the_updater_asks_for_is_in_the_table() -> None:
    assert {operation.action for operation in Operation} <= TABLE.keys()


@pytest.mark.parametrize("role", ROLES)
def test_every_action_that_the_stack_grants_exists(role: str) -> None:
    granted = {action for each in statements(deployed(**EVERYTHING), role) for action in several(each["Action"])}
    assert granted <= reference().keys()


@pytest.mark.parametrize("role", ROLES)
def test_every_condition_of_the_stack_is_on_a_key_that_its_actions_have(role: str) -> None:
    for statement in statements(deployed(**EVERYTHING), role):
        keys = {key.lower() for operator in statement.get("Condition", {}).values() for key in operator}
        for action in several(statement["Action"]):
            known = {re.sub(r"\$\{\w+\}", "*", key) for key in keys_of(action)}
            assert all(any(like_ignoring_case(pattern, key) for pattern in known) for key in keys), (action, keys)


@pytest.mark.parametrize("role", ROLES)
def test_only_actions_without_a_resource_of_their_own_are_granted_on_everything(role: str) -> None:
    for statement in statements(deployed(**EVERYTHING), role):
        if several(statement["Resource"]) == ["*"] and "Condition" not in statement:
            assert {action for action in several(statement["Action"]) if types_of(action)} <= NEEDS_EVERYTHING
