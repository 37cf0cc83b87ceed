"""botocore and the AWS code against a server that misbehaves: what is sent, and what the caller gets."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from tests.aws.fakes import UNPACED, FakeClock, arn, instance

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport import session
from bottlerocket_ecs_updater.aws.transport.api import ACT_ATTEMPTS, LOOK_ATTEMPTS, Api
from bottlerocket_ecs_updater.aws.transport.deadline import Deadlines
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.engine.ports import Done, Later, Listing, Result, Unclear
from bottlerocket_ecs_updater.errors import Denied, Throttled, Unreachable, UpdaterError

LEASE = timedelta(seconds=60)
SHORT_LEASE = timedelta(seconds=2)
BUSY = 15.0
"""Extra seconds, for a busy machine."""

CONTAINER_CREDENTIALS = {
    "AccessKeyId": "FROMTHECONTAINER",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z",
}

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A server with configurable behavior that counts requests."""

    def __init__(self) -> None:
        self.arrived = 0
        self.headers: list[Mapping[str, str]] = []
        self.behaviour: Behaviour = replying(200, {})
        self.object: Behaviour = replying(200, CONTAINER_CREDENTIALS, "application/json")
        """What a GET is answered with."""
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.arrived += 1
                outer.headers.append(dict(self.headers))
                outer.behaviour(self)

            def do_GET(self) -> None:
                outer.object(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def silent(self, handler: BaseHTTPRequestHandler) -> None:
        """Take the request, and never answer."""
        self.released.wait()
        handler.close_connection = True

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def replying(status: int, body: object, content_type: str = "application/x-amz-json-1.1") -> Behaviour:
    data = body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def cutting(handler: BaseHTTPRequestHandler) -> None:
    """Take the request, begin to answer, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"containerInstances"')
    handler.close_connection = True


def hanging_up(handler: BaseHTTPRequestHandler) -> None:
    """Take the request, and hang up."""
    handler.close_connection = True


def dripping(answer: bytes) -> Callable[[Server], Behaviour]:
    """Begin a reply, and send a byte now and then, so that no single socket operation takes long."""

    def of(server: Server) -> Behaviour:
        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(answer)
            with suppress(OSError):
                while not server.released.wait(0.02):
                    handler.wfile.write(b"x")
                    handler.wfile.flush()
            handler.close_connection = True

        return drip

    return of


DRIPS = {
    "a status": dripping(b"HTTP/1.1 200 "),
    "headers": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "a body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    "a body to its end": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    yield server
    server.stop()


@contextmanager
def talking(lease: timedelta) -> Iterator[EcsCluster]:
    clients = Clients(version="1.2.3", region="eu-west-1", lease=lease)
    clock = FakeClock()
    api = Api(clock, CallPace(clock, rates=UNPACED), Calls(), within=clients.within)
    yield EcsCluster(clients.ecs, api, clock, "web")
    clients.ecs.looking.close()
    clients.ecs.acting.close()


@pytest.fixture
def cluster(server: Server) -> Iterator[EcsCluster]:
    with talking(LEASE) as cluster:
        yield cluster


def drain(cluster: EcsCluster) -> Result:
    return cluster.set_status([arn(1)], Status.DRAINING)[arn(1)]


def test_an_act_that_is_answered_is_done(server: Server, cluster: EcsCluster) -> None:
    shape = {**instance(1), "registeredAt": 1_767_603_600}
    server.behaviour = replying(200, {"containerInstances": [shape], "failures": []})
    assert drain(cluster) == Done()
    assert "bottlerocket-ecs-updater/1.2.3" in server.headers[0]["User-Agent"]


@pytest.mark.parametrize(
    "behaviour",
    [
        replying(500, {"__type": "ServerException"}),
        replying(503, "<html>Service Unavailable</html>", "text/html"),
        replying(200, "<html>Welcome to our network</html>", "text/html"),
        cutting,
        hanging_up,
    ],
)
def test_an_act_without_a_proper_answer_arrives_once_and_is_unclear(
    server: Server, cluster: EcsCluster, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    assert isinstance(drain(cluster), Unclear)
    assert server.arrived == 1


def test_an_act_that_is_not_answered_is_given_up_and_unclear(server: Server) -> None:
    server.behaviour = server.silent
    with talking(SHORT_LEASE) as cluster:
        assert isinstance(drain(cluster), Unclear)
    assert server.arrived <= 1


@pytest.mark.parametrize("drips", DRIPS.values(), ids=DRIPS.keys())
def test_an_act_whose_answer_drips_is_over_within_a_quarter_of_the_lease_and_unclear(
    server: Server, drips: Callable[[Server], Behaviour]
) -> None:
    with talking(SHORT_LEASE) as cluster:
        assert isinstance(drain(cluster), Unclear | Done)
        server.behaviour, began = drips(server), time.monotonic()
        assert isinstance(drain(cluster), Unclear)
        assert time.monotonic() - began < SHORT_LEASE.total_seconds() / 4 + BUSY
    assert server.arrived <= 2


@pytest.mark.parametrize("drips", DRIPS.values(), ids=DRIPS.keys())
def test_a_look_whose_answer_drips_is_given_up(
    server: Server, cluster: EcsCluster, drips: Callable[[Server], Behaviour], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CALL_LIMIT", timedelta(seconds=0.3))
    server.behaviour, began = drips(server), time.monotonic()
    with pytest.raises(Unreachable):
        cluster.list_all()
    assert time.monotonic() - began < 0.3 * LOOK_ATTEMPTS + BUSY


def test_a_reply_that_arrives_while_its_call_is_cut_is_rejected() -> None:
    deadlines, waited = Deadlines(), threading.Event()
    with pytest.raises(ReadTimeoutError), deadlines.within(timedelta(milliseconds=10)):
        waited.wait(0.2)
    with deadlines.within(timedelta(seconds=30)):
        pass


def test_an_object_of_the_store_that_drips_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CALL_LIMIT", timedelta(seconds=0.3))
    clients, clock = Clients(version="1.2.3", region="eu-west-1"), FakeClock()
    store = S3Store(clients.s3, Api(clock, CallPace(clock), Calls(), within=clients.within), "bucket")
    server.object = dripping(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 1000000\r\n\r\n')(server)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        store.get("ledger.json")
    assert time.monotonic() - began < 0.3 * LOOK_ATTEMPTS + BUSY
    clients.s3.looking.close()


def test_an_act_is_never_sent_where_its_encryption_is_agreed_on_too_late(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{shakes_hands_for_ever(over)}")
    with talking(SHORT_LEASE) as cluster:
        began = time.monotonic()
        assert isinstance(drain(cluster), Later)
        assert time.monotonic() - began < SHORT_LEASE.total_seconds() / 4 + BUSY
    over.set()


def test_an_act_is_never_sent_where_its_name_is_resolved_too_late(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socket.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> Any:
        threading.Event().wait(SHORT_LEASE.total_seconds() / 4 + 0.2)
        return found(*args, **kwargs)

    with talking(SHORT_LEASE) as cluster:
        monkeypatch.setattr("socket.getaddrinfo", slowly)
        assert isinstance(drain(cluster), Later)
    assert server.arrived == 0


def shakes_hands_for_ever(over: threading.Event) -> int:
    """A port whose TLS handshake never completes, although it keeps sending data."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listening.accept()
                peer.sendall(b"\x16\x03\x03\x40\x00")
                while not over.wait(0.02):
                    peer.sendall(b"x")

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1])


def test_an_act_that_is_throttled_each_time_is_for_later(server: Server, cluster: EcsCluster) -> None:
    server.behaviour = replying(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
    assert isinstance(drain(cluster), Later)
    assert server.arrived == ACT_ATTEMPTS


def test_an_act_that_cannot_connect_is_retried_later(
    server: Server, cluster: EcsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert isinstance(drain(cluster), Later)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (replying(500, {"__type": "ServerException"}), Unreachable),
        (hanging_up, Unreachable),
        (replying(400, {"__type": "ThrottlingException"}), Throttled),
    ],
)
def test_a_look_arrives_as_often_as_the_gateway_repeats_it_and_no_more(
    server: Server, cluster: EcsCluster, behaviour: Behaviour, error: type[Exception]
) -> None:
    server.behaviour = behaviour
    with pytest.raises(error):
        cluster.list_all()
    assert server.arrived == LOOK_ATTEMPTS


@pytest.mark.parametrize(
    "behaviour",
    [
        cutting,
        replying(200, ""),
        replying(200, "<html>Welcome to our network</html>", "text/html"),
        replying(200, [{"containerInstanceArns": []}]),
        replying(200, "12"),
        replying(500, [1]),
    ],
)
def test_a_truncated_reply_does_not_count_as_an_empty_list(
    server: Server, cluster: EcsCluster, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    with pytest.raises(Unreachable):
        cluster.list_all()


def test_an_empty_list_is_a_list(server: Server, cluster: EcsCluster) -> None:
    server.behaviour = replying(200, {"containerInstanceArns": []})
    assert cluster.list_all() == Listing((), {})


def test_an_act_that_answers_nothing_is_done_where_it_has_nothing_to_answer(server: Server) -> None:
    server.behaviour = replying(200, "")
    clients, clock = Clients(version="1.2.3", region="eu-west-1"), FakeClock()
    api = Api(clock, CallPace(clock), Calls(), within=clients.within)
    api.act(Operation.CANCEL_COMMAND, "c", clients.ssm.acting.cancel_command, CommandId="c" * 36)
    clients.ssm.acting.close()


def test_a_denied_look_arrives_once(server: Server, cluster: EcsCluster) -> None:
    said = "User: arn:aws:iam::111122223333:user/u is not authorized to perform: ecs:ListContainerInstances"
    server.behaviour = replying(400, {"__type": "AccessDeniedException", "message": said})
    with pytest.raises(Denied, match="ecs:ListContainerInstances on web"):
        cluster.list_all()
    assert server.arrived == 1


def test_requests_are_signed_with_the_credentials_of_the_container(
    server: Server, cluster: EcsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
    cluster.list_all()
    assert "Credential=FROMTHECONTAINER/" in server.headers[0]["Authorization"]
    assert server.headers[0]["X-Amz-Security-Token"] == "token"


def test_without_any_credentials_nothing_is_sent_and_the_reason_is_reported(
    server: Server, cluster: EcsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UpdaterError, match="no AWS credentials"):
        cluster.list_all()
    assert server.arrived == 0
