"""One deadline for a whole call to AWS.

botocore's time-outs are each for one operation of a socket: a reply that drips is waited for as long as it drips, and
each address of a name has a time to connect of its own. But what keeps two runs apart is that an act is over within a
part of the lease. So a call's connections are cut at its deadline, and one that is made later is not used any more:
what was sent by then may have taken effect, and nothing is sent after it.

A name that is not resolved is the one thing that cannot be cut: it lasts as long as the resolver says, some ten
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
    """The deadlines of one thread's calls, one call after the other."""

    def __init__(self) -> None:
        self._call: _Call | None = None
        self._pools = _pools(self)

    @contextmanager
    def within(self, limit: timedelta) -> Iterator[None]:
        """What is called inside has so long; then its connections are cut. Raises ReadTimeoutError where they were.

        botocore itself takes an answer that ends too early for a whole one, with whatever it lacks left out.
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
        """Have the connections of a client of botocore's cut."""
        session = getattr(getattr(client, "_endpoint", None), "http_session", None)
        if isinstance(session, URLLib3Session):
            # botocore takes no connections of one's own, and makes its pools by these classes, with a proxy or without.
            session._pool_classes_by_scheme = session._manager.pool_classes_by_scheme = self._pools  # type: ignore[attr-defined]

    def using(self, connection: Any) -> None:
        """The call that is under way goes by this connection. Raises ConnectTimeoutError where it is too late."""
        if self._call is not None:
            self._call.hold(connection)

    def connect(self, connection: Any, connect: Callable[[], None]) -> None:
        """Connect it, in whatever time is left. Raises ConnectTimeoutError: nothing was sent then."""
        self.using(connection)
        try:
            connect()
        except OSError as error:
            # Encryption that is not agreed on in time comes as an answer that was not read in time.
            if isinstance(error, TimeoutError) or (self._call is not None and self._call.over):
                raise ConnectTimeoutError(connection, f"it was not made in time: {error}") from error
            raise
        self.using(connection)


class _Call:
    """What a call that is under way has open."""

    def __init__(self) -> None:
        self.over = False
        self._connections: list[Any] = []
        self._sockets: list[socket] = []

    def hold(self, connection: Any) -> None:
        self._connections.append(connection)
        if connection.sock is not None:
            self._sockets.append(connection.sock)
        if self.over:
            raise ConnectTimeoutError(connection, "it was not made before the call's deadline")

    def cut(self) -> None:
        self.over = True
        # Before encryption is agreed on, a connection alone knows its socket; once it answers, perhaps the answer.
        for sock in [*(connection.sock for connection in self._connections), *self._sockets]:
            if sock is not None:
                # Whoever waits for a byte wakes up, and closes it.
                with suppress(OSError):
                    sock.shutdown(SHUT_RDWR)


def _pools(deadlines: Deadlines) -> dict[str, type]:
    """botocore's own pools, of connections that say when they are used."""

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
