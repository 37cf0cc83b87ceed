"""Finding out which ECS task this process is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import pytest
from tests.aws.fakes import START, Bench, Shape, task

from bottlerocket_ecs_updater.aws.identity import Identity, Unidentified, family_of, identify, running_tasks_of_family
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.ids import TaskArn
from bottlerocket_ecs_updater.errors import Unreachable

URI = "ECS_CONTAINER_METADATA_URI_V4"
DEFINITION = "arn:aws:ecs:eu-west-1:111122223333:task-definition/updater-family:7"
METADATA = {"Cluster": "web", "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/web/me", "Family": "updater-family"}


def test_the_family_is_between_the_prefix_and_the_revision() -> None:
    assert family_of("arn:aws:ecs:region:account:task-definition/updater-family:1") == "updater-family"


def test_a_family_needs_no_revision_and_no_partition_of_a_given_name() -> None:
    assert family_of("arn:aws-cn:ecs:region:account:task-definition/updater-family") == "updater-family"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begins with arn:"),
        ("task-definition/updater-family:1", "begins with arn:"),
        ("arn:aws:ecs:task-definition/updater-family", "6 sections"),
        ("arn:aws:ecs:region:account:task-def/updater-family:1", "task definition"),
        ("arn:aws:ecs:region:account:task-definition/", "task definition"),
    ],
)
def test_text_that_is_not_the_arn_of_a_task_definition_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        family_of(text)


def test_the_metadata_endpoint_gives_task_cluster_and_family() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return json.dumps(METADATA).encode()

    found = identify({URI: "http://169.254.170.2/v4/abc"}, fetch)
    assert found == Identity("updater-family", "web", TaskArn(METADATA["TaskARN"]))
    assert asked == ["http://169.254.170.2/v4/abc/task"]


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b"<html>"])
def test_an_endpoint_that_says_something_else_leaves_the_family_to_the_environment(said: bytes) -> None:
    found = identify({URI: "http://169.254.170.2/v4/abc", "TASK_DEFINITION_ARN": DEFINITION}, lambda _: said)
    assert found == Identity("updater-family", "", None)


def test_without_the_endpoint_the_environment_gives_the_family() -> None:
    assert identify({"TASK_DEFINITION_ARN": DEFINITION}) == Identity("updater-family", "", None)


def test_outside_of_ecs_no_task_is_identified_and_the_reason_is_reported() -> None:
    found = identify({})
    assert isinstance(found, Unidentified)
    assert URI in found.why
    assert "TASK_DEFINITION_ARN" in found.why


def test_an_environment_without_a_task_definition_identifies_no_task() -> None:
    found = identify({"TASK_DEFINITION_ARN": "updater-family"})
    assert isinstance(found, Unidentified)
    assert "begins with arn:" in found.why


@pytest.fixture
def endpoint() -> Iterator[str]:
    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v4/abc/task"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(METADATA).encode() if found else b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_endpoint_is_called_over_http_without_a_proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert identify({URI: f"{endpoint}/v4/abc"}) == Identity("updater-family", "web", TaskArn(METADATA["TaskARN"]))


@pytest.mark.parametrize("path", ["/elsewhere", ""])
def test_an_endpoint_that_answers_with_an_error_identifies_no_task(endpoint: str, path: str) -> None:
    assert isinstance(identify({URI: f"{endpoint}{path}"}), Unidentified)


def test_an_endpoint_without_a_listener_identifies_no_task() -> None:
    assert isinstance(identify({URI: "http://127.0.0.1:1/v4/abc"}), Unidentified)


def family(*shapes: Shape) -> list[str]:
    bench = Bench()
    bench.ecs.add(*shapes)
    tasks = running_tasks_of_family(Pair.of(cast("Any", bench.ecs)), bench.api, "web", "updater-family")
    assert all(request["family"] == "updater-family" for request in bench.ecs.asked("list_tasks"))
    return [one.arn.rsplit("/", 1)[-1] for one in tasks]


def test_the_tasks_of_a_family_come_oldest_first() -> None:
    minute = timedelta(minutes=1)
    shapes = [task(name, None, createdAt=START + minute * age) for name, age in [("b", 2), ("c", 3), ("a", 1)]]
    assert family(*shapes) == ["a", "b", "c"]


def test_two_tasks_of_the_same_moment_come_in_the_same_order_for_both() -> None:
    shapes = [task(name, None, createdAt=START) for name in ("b", "a")]
    assert family(*shapes) == ["a", "b"]


def test_a_task_that_is_listed_but_not_described_may_be_the_oldest_one() -> None:
    bench = Bench()
    bench.ecs.add(task("a", None, createdAt=START), task("b", None, createdAt=START))
    clients = Pair.of(cast("Any", bench.ecs))
    bench.ecs.failing = {task("a", None)["taskArn"]: "SERVER"}
    with pytest.raises(Unreachable, match="ECS lists 1 tasks of family updater-family that it does not describe"):
        running_tasks_of_family(clients, bench.api, "web", "updater-family")
    bench.ecs.failing = {task("a", None)["taskArn"]: "MISSING"}
    assert len(running_tasks_of_family(clients, bench.api, "web", "updater-family")) == 1


def test_a_task_that_has_stopped_meanwhile_is_none_of_the_family() -> None:
    assert family(task("a", None, createdAt=START, lastStatus="STOPPED"), task("b", None, createdAt=START)) == ["b"]
