"""A response of another server, such as a captive portal or a proxy, never counts as a response of AWS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.aws.fakes import UNPACED, FakeClock

from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.errors import Unreachable

PORTAL = b"<html><h1>Log in to the network</h1></html>"

REPLIES = {
    "a login page": (200, PORTAL, {}),
    "a login page with a tag": (200, PORTAL, {"Last-Modified": "Mon, 05 Jan 2026 09:00:00 GMT"}),
    "nothing": (200, b"", {}),
    "another server's 404": (404, PORTAL, {}),
    "a bare 404": (404, b"", {}),
    "a proxy that wants a password": (407, b"proxy auth", {}),
    "a bare 403": (403, b"", {}),
    "a redirect": (302, b"", {"Location": "http://127.0.0.1:1/login"}),
    "a lasting redirect": (301, PORTAL, {"Location": "http://127.0.0.1:1/login"}),
    "a gateway that is down": (503, PORTAL, {}),
    "JSON of somebody else": (400, b'{"error": "no"}', {}),
}


class Elsewhere:
    """A server that gives every request the same reply."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(params=REPLIES)
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    made = Elsewhere(*REPLIES[request.param])
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.stop()


def calls() -> dict[str, Callable[[Clients, Api], object]]:
    def store(clients: Clients, api: Api) -> S3Store:
        return S3Store(clients.s3, api, "bucket", "updater")

    return {
        "list hosts": lambda clients, api: api.look(
            Operation.LIST_CONTAINER_INSTANCES, "web", clients.ecs.looking.list_container_instances, cluster="web"
        ),
        "send a command": lambda clients, api: api.act(
            Operation.SEND_COMMAND, "", clients.ssm.acting.send_command, DocumentName="apply", InstanceIds=["i-1"]
        ),
        "read groups": lambda clients, api: api.look(
            Operation.DESCRIBE_AUTO_SCALING_INSTANCES, "", clients.autoscaling.looking.describe_auto_scaling_instances
        ),
        "read instances": lambda clients, api: api.look(
            Operation.DESCRIBE_INSTANCES, "", clients.ec2.looking.describe_instances
        ),
        "read an object": lambda clients, api: store(clients, api).get("pause.json"),
        "write an object": lambda clients, api: store(clients, api).put("pause.json", b"{}", None),
        "delete an object": lambda clients, api: store(clients, api).delete("pause.json", None),
        "list objects": lambda clients, api: list(store(clients, api).keys("runs/")),
    }


@pytest.mark.parametrize("call", calls())
def test_a_reply_that_is_not_from_aws_is_none(call: str, elsewhere: Elsewhere) -> None:
    """ "No hosts", "no pause" or "written" would each be a wrong statement about the cluster."""
    clock = FakeClock()
    api = Api(clock, CallPace(clock, UNPACED), Calls())
    clients = Clients(version="1", region="eu-west-1")
    with pytest.raises(Unreachable) as error:
        calls()[call](clients, api)
    assert "is not from AWS" in error.value.message or "503" in error.value.message
