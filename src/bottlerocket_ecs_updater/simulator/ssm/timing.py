"""SSM delays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SsmTiming:
    """The service's delays. The defaults are typical."""

    visible: timedelta = timedelta(seconds=1)
    """From SendCommand until the command is visible. Before that, InvocationDoesNotExist and empty lists."""
    delivery: timedelta = timedelta(milliseconds=500)
    """From SendCommand until a connected host starts the script."""
    spread: timedelta = timedelta(0)
    """How much later the last host of a command starts its script than the first: hosts ask at times of their own."""
    report: timedelta = timedelta(milliseconds=300)
    """From the end of the script until the service shows it."""
    ping: timedelta = timedelta(minutes=5)
    """How often the agent pings."""
    connection_lost: timedelta = timedelta(minutes=10)
    """From the last ping until PingStatus is ConnectionLost."""
    delivers_until_expiry: bool = False
    """Whether a command that waits for its agent is delivered until ExpiresAfter, and not only until its
    TimeoutSeconds. The API's reference says the latter; the user guide's table of timeouts may mean the former."""
    delayed: timedelta = timedelta(seconds=30)
    """How long an undelivered command is Pending before it is Delayed."""
    worker_timed_out: timedelta = timedelta(seconds=60)
    """From the agent's restart until it gives up on a worker that died in the previous boot."""
