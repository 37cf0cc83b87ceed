"""One deadline for a whole call to AWS.

botocore's timeouts apply to single socket operations: a reply that trickles in can take forever, and each address of
a host name has its own connect timeout. But two runs never act at once only because an act ends within a part of the
lease. So a call's connections are closed at its deadline, and later ones are not used: what was sent before may have
taken effect, and nothing is sent afterwards.

DNS resolution is the only step that cannot be interrupted. It takes as long as the resolver's timeout, about ten
seconds. Nothing is sent after that either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from socket import SHUT_RDWR, socket
from typing import Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ConnectTimeoutError


class Deadlines:
    """Deadlines for the calls of one thread, one call at a time."""

    def __init__(self) -> None:
        self._call: _Call | None = None
        self._pools = _pools(self)

    @contextmanager
    def within(self, limit: timedelta) -> Iterator[None]:
        """Close the block's connections after `limit`. Raises ReadTimeoutError if that happened.

        It must raise, because botocore accepts a truncated reply as a complete one with fields missing.
        """
        call = self._call = _Call()
        timer = threading.Timer(limit.total_seconds(), call.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._call = None
        if call.over:
            raise ReadTimeoutError(endpoint_url="of AWS, within the time of a call")

    def watch(self, client: object) -> None:
        """Make the connections of a botocore client obey the deadline."""
        session = getattr(getattr(client, "_endpoint", None), "http_session", None)
        if isinstance(session, URLLib3Session):
            # botocore accepts no custom connections. It creates its pools from these classes, with or without a proxy.
            session._pool_classes_by_scheme = session._manager.pool_classes_by_scheme = self._pools  # type: ignore[attr-defined]

    def using(self, connection: Any) -> None:
        """Note that the current call uses this connection. Raises ConnectTimeoutError after the deadline."""
        if self._call is not None:
            self._call.hold(connection)

    def connect(self, connection: Any, connect: Callable[[], None]) -> None:
        """Connect within the time that is left. Raises ConnectTimeoutError: nothing was sent."""
        self.using(connection)
        try:
            connect()
        except OSError as error:
            # A TLS handshake that times out looks like a read timeout.
            if isinstance(error, TimeoutError) or (self._call is not None and self._call.over):
                raise ConnectTimeoutError(connection, f"it did not connect in time: {error}") from error
            raise
        self.using(connection)


class _Call:
    """The open connections of the current call."""

    def __init__(self) -> None:
        self.over = False
        self._connections: list[Any] = []
        self._sockets: list[socket] = []

    def hold(self, connection: Any) -> None:
        self._connections.append(connection)
        if connection.sock is not None:
            self._sockets.append(connection.sock)
        if self.over:
            raise ConnectTimeoutError(connection, "it did not connect before the call's deadline")

    def cut(self) -> None:
        self.over = True
        # Before the TLS handshake, only the connection knows its socket. After a reply, perhaps only the reply does.
        for sock in [*(connection.sock for connection in self._connections), *self._sockets]:
            if sock is not None:
                # A blocked read wakes up and closes the socket.
                with suppress(OSError):
                    sock.shutdown(SHUT_RDWR)


def _pools(deadlines: Deadlines) -> dict[str, type]:
    """botocore's own pools, with connections that report when they are used."""

    class Plain(AWSHTTPConnection):
        def connect(self) -> None:
            deadlines.connect(self, super().connect)

        def request(self, *args: Any, **kwargs: Any) -> Any:
            deadlines.using(self)
            return super().request(*args, **kwargs)

    class Secure(AWSHTTPSConnection):
        def connect(self) -> None:
            deadlines.connect(self, super().connect)

        def request(self, *args: Any, **kwargs: Any) -> Any:
            deadlines.using(self)
            return super().request(*args, **kwargs)

    class PlainPool(AWSHTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(AWSHTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
