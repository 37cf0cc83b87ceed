"""What a container gets on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.account.schedule import TaskEndpoint

from bottlerocket_ecs_updater.aws.identity import Identity, identify
from bottlerocket_ecs_updater.core.model.ids import TaskArn
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

TASK = "arn:aws:ecs:us-east-1:123456789012:task/demo/0123"
METADATA = {"Cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/demo", "TaskARN": TASK, "Family": "updater"}


@pytest.fixture
def endpoint() -> Iterator[TaskEndpoint]:
    endpoint = TaskEndpoint()
    endpoint.start()
    yield endpoint
    endpoint.stop()


def get(url: str, token: str = "") -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path, headers={"Authorization": token})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_updater_learns_from_it_which_task_it_is(endpoint: TaskEndpoint) -> None:
    variables = endpoint.offer("0123", dict, lambda: METADATA)
    assert identify(variables) == Identity("updater", METADATA["Cluster"], TaskArn(TASK))


def test_credentials_go_to_who_shows_the_tasks_token(endpoint: TaskEndpoint) -> None:
    variables = endpoint.offer("0123", lambda: {"AccessKeyId": "ASIA"}, lambda: METADATA)
    url, token = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"], variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert get(url, token) == (200, {"AccessKeyId": "ASIA"})
    assert get(url, "another")[0] == 403


def test_a_task_that_has_ended_gets_nothing_more(endpoint: TaskEndpoint) -> None:
    variables = endpoint.offer("0123", dict, lambda: METADATA)
    endpoint.withdraw("0123")
    assert get(f"{variables['ECS_CONTAINER_METADATA_URI_V4']}/task")[0] == 404


def test_a_role_that_cannot_be_assumed_is_an_error_of_the_endpoint(endpoint: TaskEndpoint) -> None:
    def refuse() -> dict[str, Any]:
        raise AwsError("AccessDenied", "not trusted", 403)

    variables = endpoint.offer("0123", refuse, lambda: METADATA)
    status, body = get(variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"], variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    assert (status, body["code"]) == (500, "AccessDenied")
