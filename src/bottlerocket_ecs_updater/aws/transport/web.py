"""Requests to the web beside AWS: each with one deadline over all that it takes.

A time-out of a socket is for one operation of it. A server that sends a byte now and then, a chain of redirects, or a
name that takes its time to be resolved holds whoever asks for as long as it likes, and a run has a lease to renew. So
each request goes in a thread of its own, and whoever asked goes on at the deadline: connections that are open by then
are cut, and what comes later is sent nowhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

REDIRECTED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered in the end, whatever its status."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is put up with."""

    seconds: float
    """From the first name that is resolved to the last byte that is read."""
    redirects: int = 0
    """How many are followed. What is redirected further is answered with the status that redirects."""
    body_max: int = 0
    """How many bytes of an answer are read; of none with a status of success more than that may come."""
    direct: bool = False
    """Whether proxies are passed by."""


def ask(request: Request, terms: Terms) -> Reply:
    """The server's answer. Raises TimeoutError at the deadline, else OSError, HTTPException or ValueError."""
    (answer,) = ask_all([request], terms)
    if isinstance(answer, Exception):
        raise answer
    return answer


def ask_all(requests: Sequence[Request], terms: Terms) -> list[Reply | Exception]:
    """The answers to all, which are asked at the same time, and under one deadline; in their order."""
    ends_at = time.monotonic() + terms.seconds
    exchanges = [_Exchange(request, terms, ends_at) for request in requests]
    try:
        for exchange in exchanges:
            exchange.begin()
        return [exchange.answer() for exchange in exchanges]
    finally:
        for exchange in exchanges:
            exchange.cut()


class _Exchange:
    """One request and its redirects, in a thread of their own."""

    def __init__(self, request: Request, terms: Terms, ends_at: float) -> None:
        self._request = request
        self._terms = terms
        self._ends_at = ends_at
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = False
        self._opened: list[HTTPConnection] = []
        self._sockets: list[socket] = []
        self._answer: Reply | Exception = TimeoutError(f"no answer within {terms.seconds:g} s")

    def begin(self) -> None:
        self._thread.start()

    def answer(self) -> Reply | Exception:
        """Wait for it until the deadline."""
        late = self._answer
        self._thread.join(self._left())
        return late if self._thread.is_alive() else self._answer

    def cut(self) -> None:
        """Whoever still talks is talked to no more."""
        self._over = True
        # Before encryption is agreed on, a connection alone knows its socket; once it answers, the answer alone.
        for sock in [*(connection.sock for connection in self._opened), *self._sockets]:
            if sock is not None:
                # The thread that waits for a byte wakes up, and closes it.
                with suppress(OSError):
                    sock.shutdown(SHUT_RDWR)

    def watch(self, connection: HTTPConnection) -> None:
        """Cut this one, too."""
        self._opened.append(connection)

    def connected(self, sock: socket) -> None:
        """It may be talked to. Raises TimeoutError where nobody waits for the answer any more."""
        self._sockets.append(sock)
        if self._over:
            raise TimeoutError("it is too late")

    def _left(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def _run(self) -> None:
        try:
            self._answer = self._converse()
        except (OSError, HTTPException, ValueError) as error:
            self._answer = error

    def _converse(self) -> Reply:
        opener, request = _opener(self, direct=self._terms.direct), self._request
        for _ in range(self._terms.redirects + 1):
            try:
                with opener.open(request, timeout=max(self._left(), 0.001)) as answer:
                    return Reply(answer.status, self._body(answer))
            except HTTPError as error:
                error.close()
                status, to = error.code, error.headers.get("Location")
                if status not in REDIRECTED or not to:
                    break
                request = _follow(request, to)
        return Reply(status)

    def _body(self, answer: HTTPResponse) -> bytes:
        most = self._terms.body_max
        body = answer.read(most + 1) if most else b""
        if len(body) > most:
            raise ValueError(f"it answered with more than {most} bytes")
        return body


def _follow(request: Request, to: str) -> Request:
    url = urljoin(request.full_url, to)
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("it redirects to what is no http:// or https:// address")
    return Request(url, headers=dict(request.headers))  # noqa: S310 - checked


class _Connection(HTTPConnection):
    exchange: _Exchange

    def connect(self) -> None:
        super().connect()
        self.exchange.connected(self.sock)


class _SecureConnection(HTTPSConnection):
    exchange: _Exchange

    def connect(self) -> None:
        super().connect()
        self.exchange.connected(self.sock)


def _opener(exchange: _Exchange, *, direct: bool) -> OpenerDirector:
    """As urllib's own, but that it follows nothing by itself, and that its connections can be cut."""

    def watched(kind: type[_Connection | _SecureConnection]) -> Callable[..., HTTPConnection]:
        def make(host: str, *, timeout: float) -> HTTPConnection:
            connection = kind(host, timeout=timeout)
            connection.exchange = exchange
            exchange.watch(connection)
            return connection

        return make

    class Plain(HTTPHandler):
        def http_open(self, req: Request) -> HTTPResponse:
            return self.do_open(watched(_Connection), req)

    class Secure(HTTPSHandler):
        def https_open(self, req: Request) -> HTTPResponse:
            return self.do_open(watched(_SecureConnection), req)

    proxies = [ProxyHandler({})] if direct else []
    return build_opener(*proxies, Plain, Secure, _NoRedirects)


class _NoRedirects(HTTPRedirectHandler):
    """urllib's own would read whatever body a redirect has."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None
