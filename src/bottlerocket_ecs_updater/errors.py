"""Errors, grouped by what the caller does next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass
class UpdaterError(Exception):
    """An error that ends a run or a pass, with one clear line of text."""

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass
class UsageError(UpdaterError):
    """Fix the command: a setting is missing, unknown or out of range."""


@dataclass
class Unreachable(UpdaterError):
    """Try again later: AWS or the state store did not answer. Whether a call took effect is not known."""


@dataclass
class Throttled(UpdaterError):
    """Try again later: AWS throttled the call, so it had no effect."""


@dataclass
class StillHeld(UpdaterError):
    """Try again later: another run held the lease for as long as this one may wait."""


@dataclass
class Denied(UpdaterError):
    """Ask an administrator: a permission is missing."""

    action: str = ""
    resource: str = ""
    named: bool = False
    """Whether AWS named the resource in its error; otherwise it is the resource of the call."""


@dataclass
class NotFound(UpdaterError):
    """Fix the name: the cluster, document or bucket does not exist."""


@dataclass
class LeaseLost(Exception):
    """Stop at once: this run lost its lease on the cluster, and another run may hold it.

    It is not an UpdaterError, so that code that tolerates AWS errors cannot swallow it.
    """

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass
class LeaseLapsed(LeaseLost):
    """Stop acting and request the lease again: it could not be renewed in time. No other run is known to hold it.

    After it is reacquired, look at everything again before acting.
    """

    again: timedelta = timedelta(seconds=1)
    """How long to wait before requesting it again."""


@dataclass
class Interrupted(BaseException):
    """End at once: the run received a signal to stop, and calls in progress have used up their time.

    A signal handler raises it in the middle of any code. botocore treats every Exception in a request as a network
    error, so this is a BaseException.
    """

    message: str

    def __str__(self) -> str:
        return self.message
