"""Calls to the simulated AWS: their log, and rate limits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from datetime import datetime

Shape = dict[str, Any]
"""A request or an answer, as botocore's models describe it."""

CALLS_KEPT = 20_000
"""How many calls the log keeps. Counts have no limit."""

FAILING_WITHIN = timedelta(minutes=5)
"""The time in which the log counts calls that fail one after the other."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is handled."""

    number: int
    at: datetime
    service: str
    operation: str
    params: Mapping[str, Any]
    caller: str
    """The caller: an access key over HTTP, a name in process."""

    @property
    def action(self) -> str:
        """The IAM action, such as `ecs:ListTasks`."""
        return f"{self.service}:{self.operation}"


@dataclass(slots=True)
class CallLog:
    """Counts by action and caller, calls per second, and the last calls themselves."""

    total: int = 0
    by_action: Counter[str] = field(default_factory=Counter)
    by_caller: Counter[str] = field(default_factory=Counter)
    by_second: Counter[int] = field(default_factory=Counter)
    """Unix seconds in the world's time."""
    errors: Counter[str] = field(default_factory=Counter)
    """Rejected and failed calls, by error code."""
    recent: deque[Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    most_failing: Counter[str] = field(default_factory=Counter)
    """By action: the most calls of one caller within `FAILING_WITHIN` that all failed."""
    _failing: dict[tuple[str, str], deque[datetime]] = field(default_factory=dict)
    """By caller and action: when the last calls failed, if no other has succeeded since."""

    def record(self, call: Call) -> None:
        """Count an incoming call, whatever its result."""
        self.total += 1
        self.by_action[call.action] += 1
        self.by_caller[call.caller] += 1
        self.by_second[int(call.at.timestamp())] += 1
        self.recent.append(call)

    def failed(self, call: Call, code: str) -> None:
        """Note that a call failed with an error code."""
        self.errors[code] += 1
        times = self._failing.setdefault((call.caller, call.action), deque())
        times.append(call.at)
        while call.at - times[0] > FAILING_WITHIN:
            times.popleft()
        self.most_failing[call.action] = max(self.most_failing[call.action], len(times))

    def succeeded(self, call: Call) -> None:
        """Note that a call succeeded."""
        self._failing.pop((call.caller, call.action), None)

    def of(self, action: str) -> list[Call]:
        """The kept calls of one action, oldest first."""
        return [call for call in self.recent if call.action == action]


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A token bucket: `burst` calls at once, `per_second` in the long run, shared by all its actions."""

    name: str
    burst: int
    per_second: float
    actions: frozenset[str]


class Throttles:
    """Token buckets in the world's time. Off unless rates are given."""

    def __init__(self, rates: tuple[TokenBucket, ...] = ()) -> None:
        self._rates = {action: rate for rate in rates for action in rate.actions}
        self._tokens: dict[str, tuple[float, datetime]] = {}

    def take(self, call: Call) -> None:
        """Take a token. Raises ThrottlingException if there is none."""
        rate = self._rates.get(call.action)
        if rate is None:
            return
        tokens, since = self._tokens.get(rate.name, (float(rate.burst), call.at))
        tokens = min(rate.burst, tokens + (call.at - since).total_seconds() * rate.per_second)
        if tokens < 1:
            self._tokens[rate.name] = (tokens, call.at)
            raise AwsError("ThrottlingException", "Rate exceeded")
        self._tokens[rate.name] = (tokens - 1, call.at)
