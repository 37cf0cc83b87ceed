"""HTTP requests to other servers than AWS, each with one deadline for the whole request.

A socket timeout applies to a single operation. A server that sends a byte now and then, a chain of redirects or slow
DNS could block the caller for as long as they like, and a run must renew its lease. So each request runs in its own
thread, and the caller continues at the deadline: open connections are closed, and nothing is sent afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from urllib.error import HTTPError, URLError
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
    """A server's final response, with any status."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits of a request."""

    seconds: float
    """From the first DNS lookup to the last byte read."""
    redirects: int = 0
    """How many redirects are followed. After that, the redirect's own status is the result."""
    body_max: int = 0
    """How many bytes of a successful response are read. A longer body is an error; with 0 no body is read."""
    direct: bool = False
    """Whether to bypass proxies."""


def ask(request: Request, terms: Terms) -> Reply:
    """The server's response. Raises TimeoutError at the deadline, OSError, HTTPException or ValueError otherwise."""
    (answer,) = ask_all([request], terms)
    if isinstance(answer, Exception):
        raise answer
    return answer


def ask_all(requests: Sequence[Request], terms: Terms) -> list[Reply | Exception]:
    """Make all requests at the same time, under one deadline. Returns the results in order."""
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
    """One request and its redirects, in its own thread."""

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
        """Wait for the response until the deadline."""
        late = self._answer
        self._thread.join(self._left())
        return late if self._thread.is_alive() else self._answer

    def cut(self) -> None:
        """Close all connections."""
        self._over = True
        # Before the TLS handshake, only the connection knows its socket. After a reply, only the reply does.
        for sock in [*(connection.sock for connection in self._opened), *self._sockets]:
            if sock is not None:
                # A blocked read wakes up and closes the socket.
                with suppress(OSError):
                    sock.shutdown(SHUT_RDWR)

    def watch(self, connection: HTTPConnection) -> None:
        """Close this connection at the deadline, too."""
        self._opened.append(connection)

    def connected(self, sock: socket) -> None:
        """Note a connected socket. Raises TimeoutError after the deadline."""
        self._sockets.append(sock)
        if self._over:
            raise TimeoutError("it is too late")

    def _left(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def _run(self) -> None:
        try:
            self._answer = self._converse()
        except (OSError, HTTPException, ValueError) as error:
            # A connection that is not made in time ends at the deadline too, sometimes before `answer` does.
            late = isinstance(error, URLError) and isinstance(error.reason, TimeoutError)
            self._answer = self._answer if late else error

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
            raise ValueError(f"the response has more than {most} bytes")
        return body


def _follow(request: Request, to: str) -> Request:
    url = urljoin(request.full_url, to)
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("it redirects to an address that is not http:// or https://")
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
    """Like urllib's default opener, but it follows no redirects and its connections can be closed."""

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
    """urllib's own handler would read a redirect's whole body."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None
