"""HTTP requests to other servers than AWS: whatever a server does, the caller continues at the deadline."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.request import Request

import pytest
from tests.aws.fakes import FakeClock

from bottlerocket_ecs_updater.aws import probe
from bottlerocket_ecs_updater.aws.probe import PROBE_REDIRECTS, PROBES_AT_ONCE, ask_probes
from bottlerocket_ecs_updater.aws.survey import AwsSurvey
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.messages import Webhook
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.aws.transport.web import Reply, Terms, ask, ask_all
from bottlerocket_ecs_updater.errors import LeaseLost, Unreachable

LIMIT = 0.4
AMPLE = 2.0
"""A limit of seconds that a server on loopback keeps on a busy machine too, where another one uses it up."""

BUSY = 15.0
"""Seconds that a busy machine may add."""

Behaviour = Callable[[socket.socket, threading.Event], None]


def answers(status: str, *headers: str, body: bytes = b"") -> Behaviour:
    """A whole answer at once."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]

    def behave(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall("\r\n".join(lines).encode() + body)

    return behave


def drips(first: bytes) -> Behaviour:
    """A byte now and then, forever."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(first)
        while not over.wait(LIMIT / 10):
            peer.sendall(b"x")

    return behave


def is_silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def floods(peer: socket.socket, over: threading.Event) -> None:
    """A redirect whose body has no end."""
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        peer.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


class Server:
    """A server that handles each connection in the given way, and all later ones in the last way."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = behaviours
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.ended = threading.Semaphore(0)
        """Released whenever a connection has come to its end."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._over.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            self.requests.append(peer.recv(65536))
            self._behaviours[min(len(self.requests), len(self._behaviours)) - 1](peer, self._over)
        self.ended.release()


@contextmanager
def serving(*behaviours: Behaviour) -> Iterator[Server]:
    server = Server(*behaviours)
    yield server
    server.close()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + BUSY


WELL = answers("200 OK")
STALLS: dict[str, Behaviour] = {
    "a server that is silent": is_silent,
    "headers that drip": drips(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "a status that drips": drips(b"HTTP/1.1 200 "),
    "a body that drips": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
}


@pytest.mark.parametrize("stall", STALLS.values(), ids=STALLS.keys())
def test_at_the_deadline_it_is_over_and_the_connection_is_cut(stall: Behaviour) -> None:
    with serving(stall) as server, within(LIMIT):
        with pytest.raises(TimeoutError):
            ask(Request(server.url), Terms(LIMIT, body_max=1_000_000))
        # A silent server does not notice.
        assert stall is is_silent or server.ended.acquire(timeout=BUSY)


def test_a_chain_of_redirects_has_one_deadline_in_all() -> None:
    def slowly(peer: socket.socket, over: threading.Event) -> None:
        over.wait(LIMIT / 2)
        answers("302 Found", "Location: /next")(peer, over)

    with serving(slowly) as server, within(LIMIT), pytest.raises(TimeoutError):
        ask(Request(server.url), Terms(LIMIT, redirects=100))


def test_encryption_that_is_never_agreed_on_has_the_same_deadline() -> None:
    with serving(drips(b"\x16\x03\x03\x40\x00")) as server, within(LIMIT), pytest.raises(TimeoutError):
        ask(Request(server.url.replace("http:", "https:")), Terms(LIMIT))


def test_a_slow_name_lookup_has_the_same_deadline_and_nothing_is_sent_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = threading.Event()
    found = socket.getaddrinfo

    def slowly(*args: object, **kwargs: object) -> object:
        resolved.wait()
        return found(*args, **kwargs)  # type: ignore[arg-type]

    with serving(WELL) as server:
        monkeypatch.setattr("socket.getaddrinfo", slowly)
        with within(LIMIT), pytest.raises(TimeoutError):
            ask(Request(server.url), Terms(LIMIT))
        resolved.set()
        assert not server.ended.acquire(timeout=LIMIT) or server.requests == [b""]


def test_redirects_are_followed_to_the_last_answer() -> None:
    with serving(answers("301 Moved", "Location: /a"), answers("307 Again", "Location: b"), WELL) as server:
        assert ask(Request(f"{server.url}/x"), Terms(BUSY, redirects=2)) == Reply(200)
        assert [request.split()[1] for request in server.requests] == [b"/x", b"/a", b"/b"]


def test_no_more_redirects_are_followed_than_the_terms_say() -> None:
    with serving(answers("302 Found", "Location: /")) as server:
        assert ask(Request(server.url), Terms(BUSY, redirects=3)).status == 302
        assert len(server.requests) == 4


def test_a_redirect_to_something_other_than_a_web_address_is_refused() -> None:
    with (
        serving(answers("302 Found", "Location: file:///etc/passwd")) as server,
        pytest.raises(ValueError, match="not http"),
    ):
        ask(Request(server.url), Terms(BUSY, redirects=3))


def test_the_body_of_a_redirect_is_not_read() -> None:
    with serving(floods, WELL) as server, within(LIMIT):
        assert ask(Request(server.url), Terms(BUSY, redirects=1)) == Reply(200)


def test_no_more_of_a_body_is_read_than_the_terms_say() -> None:
    with serving(answers("200 OK", body=b"x" * 11)) as server:
        assert ask(Request(server.url), Terms(BUSY, body_max=11)).body == b"x" * 11
        with pytest.raises(ValueError, match="more than 10 bytes"):
            ask(Request(server.url), Terms(BUSY, body_max=10))


def test_several_probes_run_at_the_same_time_and_each_has_its_own_answer() -> None:
    with serving(is_silent) as stuck, serving(WELL) as well, serving(answers("503 No")) as unwell, within(AMPLE):
        urls = [stuck.url, well.url, stuck.url, unwell.url, "http://127.0.0.1:1"]
        got = ask_all([Request(url) for url in urls], Terms(AMPLE))
    assert [type(one).__name__ for one in got] == ["TimeoutError", "Reply", "TimeoutError", "Reply", "URLError"]
    assert [one.status for one in got if isinstance(one, Reply)] == [200, 503]


# Probes


def test_each_probe_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TERMS", Terms(AMPLE, PROBE_REDIRECTS))
    loop, gone = answers("302 Found", "Location: /"), "http://127.0.0.1:1/health"
    with serving(WELL) as well, serving(answers("500 No")) as bad, serving(is_silent) as stuck, serving(loop) as round_:
        said = ask_probes([well.url, bad.url, stuck.url, round_.url, gone])
    assert list(said.values()) == [
        "",
        "answered 500",
        "did not answer within 5 s",
        "answered 302",
        "could not be reached: [Errno 111] Connection refused",
    ]


def survey(before_call: Callable[[bool], None]) -> AwsSurvey:
    clock = FakeClock()
    return AwsSurvey(Clients(version="test"), Api(clock, CallPace(clock), Calls(), before_call), "web")


def test_slow_probes_take_one_probes_time_and_the_lease_is_kept_before_each_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "TERMS", Terms(LIMIT, PROBE_REDIRECTS))
    kept: list[bool] = []
    with serving(is_silent) as stuck, within(2 * LIMIT):
        urls = [f"{stuck.url}/{number}" for number in range(PROBES_AT_ONCE + 1)]
        said = survey(kept.append).probes(urls)
    assert set(said.values()) == {"did not answer within 5 s"}
    assert kept == [False, False]


def test_no_probe_is_sent_without_the_lease() -> None:
    def lost(_: bool) -> None:
        raise LeaseLost("gone")

    with serving(WELL) as server:
        with pytest.raises(LeaseLost):
            survey(lost).probes([server.url])
        assert server.requests == []


# Webhooks


class Word:
    subject, text = "[demo] it is done", "all is well"
    facts: dict[str, str] = {}  # noqa: RUF012 - a message


WEBHOOK = "bottlerocket_ecs_updater.aws.transport.messages.WEBHOOK"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WEBHOOK, Terms(BUSY))


@pytest.mark.usefixtures("patient")
def test_a_webhook_is_sent_once_and_follows_no_redirect() -> None:
    with serving(answers("302 Found", "Location: /elsewhere")) as server:
        with pytest.raises(Unreachable, match="answered 302"):
            Webhook(lambda: server.url).send(Word())
        assert len(server.requests) == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("status", ["204 No Content", "200 OK"])
def test_a_webhook_that_accepts_a_message_gets_it_once(status: str) -> None:
    with serving(answers(status)) as server:
        Webhook(lambda: server.url).send(Word())
        assert server.requests[0].startswith(b"POST / HTTP/1.1")


def test_a_webhook_that_answers_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WEBHOOK, Terms(LIMIT))
    dripping = drips(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with serving(dripping) as server, within(LIMIT), pytest.raises(Unreachable, match="TimeoutError"):
        Webhook(lambda: server.url).send(Word())
