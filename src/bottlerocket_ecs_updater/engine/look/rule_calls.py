"""Calls of AWS that only the operator's rules need.

If a permission is missing or an operation is not offered, the rule is off for the run and the run reports it: that must
not block all updates. But a rule that the operator set explicitly then holds instances, because its condition is
unknown. If AWS only fails to answer this time, the instance is held, because old data does not count, and the call is
repeated with backoff.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.core.model.event import RuleOff
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

T = TypeVar("T")
GROUPS, REFRESHES, ROOM = "auto-scaling", "instance-refreshes", "room"
PROVIDERS, PROTECTION = "capacity-providers", "task-protection"
MACHINES, INTERFACES = "stopped-hosts", "network-interfaces"

Missed = tuple[InstanceId, str]
"""An instance, and which data AWS did not return for it and why."""

UNHEARD_ASKS = 3
"""After this many calls without any answer, the rule is off: the service may not exist there."""

ASKED_AGAIN, ASKED_AGAIN_MAX = timedelta(seconds=5), timedelta(minutes=1)
"""The shortest and longest time between calls that AWS does not answer. It doubles with each of them. Looks come every
few seconds, and each call is retried by itself already.
"""


@dataclass(frozen=True, slots=True)
class NotNow:
    """AWS did not answer this time, but may answer next time."""

    why: str


@dataclass(frozen=True, slots=True)
class _Backoff:
    """A call that AWS did not answer: why, and when to make it again."""

    why: str
    wait: timedelta
    until: datetime


class Backoffs:
    """Spaces out calls that AWS does not answer, by what they ask for."""

    def __init__(self, known: RunState) -> None:
        self._known = known
        self._open: dict[str, _Backoff] = {}

    def why_not_now(self, what: str) -> str | None:
        """Why AWS did not answer the last call, if it is too early for the next one; None if a call may be made."""
        one = self._open.get(what)
        return one.why if one is not None and self._known.now < one.until else None

    def failed(self, what: str, why: str) -> None:
        """Note that AWS did not answer a call."""
        before = self._open.get(what)
        wait = min(before.wait * 2, ASKED_AGAIN_MAX) if before is not None else ASKED_AGAIN
        self._open[what] = _Backoff(why, wait, self._known.now + wait)

    def answered(self, what: str) -> None:
        """Note that AWS answered a call."""
        self._open.pop(what, None)


class RuleCalls:
    """Makes the calls, and turns off a rule whose call AWS denies or does not offer."""

    def __init__(self, known: RunState, recorder: Recorder) -> None:
        self._known = known
        self._recorder = recorder
        self._off: set[str] = set()
        self._answered: set[str] = set()
        self._unheard: Counter[str] = Counter()
        """How many calls for each rule got no answer."""
        self._backoffs = Backoffs(known)

    def ask(self, rule: str, call: Callable[[], T], about: str = "") -> T | NotNow | None:
        """Make a call. Returns NotNow if AWS does not answer this time, None if the rule is off for the run.

        After NotNow, the next call is made after a backoff: of the rule if AWS throttled it, otherwise of what it is
        `about`.
        """
        if rule in self._off:
            return None
        asked = f"{rule} {about}"
        waits = self._backoffs.why_not_now(rule) or self._backoffs.why_not_now(asked)
        if waits is not None:
            return NotNow(waits)
        try:
            answer = call()
        except (LeaseLost, Interrupted):
            raise
        except Throttled as error:
            self._backoffs.failed(rule, str(error))
            return NotNow(str(error))
        except Unreachable as error:
            return self._unheard_again(rule, asked, error)
        except UpdaterError as error:
            self._turn_off(rule, error)
            return None
        self._answered.add(rule)
        self._backoffs.answered(rule)
        self._backoffs.answered(asked)
        return answer

    def _unheard_again(self, rule: str, asked: str, error: Unreachable) -> NotNow | None:
        self._unheard[rule] += 1
        if rule in self._answered or self._unheard[rule] < UNHEARD_ASKS:
            self._backoffs.failed(asked, str(error))
            return NotNow(str(error))
        self._turn_off(rule, error)
        return None

    def _turn_off(self, rule: str, error: UpdaterError) -> None:
        self._off.add(rule)
        fleet = self._known.fleet
        self._known.fleet = replace(fleet, rules_off={**fleet.rules_off, rule: str(error)})
        self._recorder.record(RuleOff(self._known.fleet.at, rule, str(error)))
