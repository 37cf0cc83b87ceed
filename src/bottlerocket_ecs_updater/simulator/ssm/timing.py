"""How slow, how forgetful and how late SSM is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SsmTiming:
    """The delays of the service. The defaults are those of an ordinary day."""

    visible: timedelta = timedelta(seconds=1)
    """From SendCommand until the command can be read; until then InvocationDoesNotExist, and empty lists."""
    delivery: timedelta = timedelta(milliseconds=500)
    """From SendCommand until a host that is connected begins."""
    report: timedelta = timedelta(milliseconds=300)
    """From the end of the script until the service knows of it."""
    ping: timedelta = timedelta(minutes=5)
    """How often the agent says that it is there."""
    connection_lost: timedelta = timedelta(minutes=10)
    """From the last sign of a host until PingStatus says ConnectionLost."""
    delayed: timedelta = timedelta(seconds=30)
    """How long a command that reaches nobody is Pending before it is Delayed."""
    worker_timed_out: timedelta = timedelta(seconds=60)
    """From the agent's return until it gives up on a worker that died with the boot before."""
