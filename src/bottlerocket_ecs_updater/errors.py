"""Errors, split by what the caller does next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass
class UpdaterError(Exception):
    """Something that ends a run, or a pass, with one clear line."""

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass
class UsageError(UpdaterError):
    """Ask again differently: a setting is missing, unknown or out of its range."""


@dataclass
class Unreachable(UpdaterError):
    """Look again later: AWS, or the state store, did not answer; whether a call took effect is unknown."""


@dataclass
class Throttled(UpdaterError):
    """Look again later: AWS refused the call for its rate, so it took no effect."""


@dataclass
class Denied(UpdaterError):
    """Ask an administrator: a permission is missing."""

    action: str = ""
    resource: str = ""
    named: bool = False
    """Whether AWS itself named the resource; else it is what the call was about."""


@dataclass
class NotFound(UpdaterError):
    """Ask again differently: the cluster, document or bucket that was named does not exist."""


@dataclass
class LeaseLost(Exception):
    """Stop at once: the right to act on this cluster is gone, and somebody else may have it.

    No UpdaterError: a handler that passes over a fault of AWS must never pass over this one.
    """

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass
class LeaseLapsed(LeaseLost):
    """Do nothing, and ask for the lease again: it could not be renewed in time. So far nobody else is known to have it.

    Once it is regained, look at everything afresh before anything is done.
    """

    again: timedelta = timedelta(seconds=1)
    """When to ask again."""


@dataclass
class Interrupted(BaseException):
    """Leave at once: the run was told to stop, and waited long enough for what was under way.

    It is raised by a signal, in the middle of whatever runs then. botocore takes every Exception in a request for a
    fault of the network, so this is none.
    """

    message: str

    def __str__(self) -> str:
        return self.message
