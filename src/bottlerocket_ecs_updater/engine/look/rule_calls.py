"""Calls of AWS that only the operator's rules need.

If a permission is missing or an operation is not offered, the rule is off for the run and the run reports it: that must
not block all updates. But a rule that the operator set explicitly then holds instances, because its condition is
unknown. If AWS only fails to answer this time, the instance is held and the call is repeated: old data does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from bottlerocket_ecs_updater.core.model.event import RuleOff
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

T = TypeVar("T")
GROUPS, ROOM, PROVIDERS, PROTECTION = "auto-scaling", "room", "capacity-providers", "task-protection"
MACHINES, INTERFACES = "stopped-hosts", "network-interfaces"

Missed = tuple[InstanceId, str]
"""An instance, and which data AWS did not return for it and why."""

UNHEARD_ASKS = 3
"""After this many calls without any answer, the rule is off: the service may not exist there."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """AWS did not answer this time, but may answer next time."""

    why: str


class RuleCalls:
    """Makes the calls, and turns off a rule whose call AWS denies or does not offer."""

    def __init__(self, known: RunState, recorder: Recorder) -> None:
        self._known = known
        self._recorder = recorder
        self._off: set[str] = set()
        self._answered: set[str] = set()
        self._unheard: Counter[str] = Counter()
        """How many calls for each rule got no answer."""

    def ask(self, rule: str, call: Callable[[], T]) -> T | NotNow | None:
        """Make a call. Returns NotNow if AWS does not answer this time, None if the rule is off for the run."""
        if rule in self._off:
            return None
        try:
            answer = call()
        except (LeaseLost, Interrupted):
            raise
        except Throttled as error:
            return NotNow(str(error))
        except Unreachable as error:
            self._unheard[rule] += 1
            if rule in self._answered or self._unheard[rule] < UNHEARD_ASKS:
                return NotNow(str(error))
            self._turn_off(rule, error)
            return None
        except UpdaterError as error:
            self._turn_off(rule, error)
            return None
        self._answered.add(rule)
        return answer

    def _turn_off(self, rule: str, error: UpdaterError) -> None:
        self._off.add(rule)
        fleet = self._known.fleet
        self._known.fleet = replace(fleet, rules_off={**fleet.rules_off, rule: str(error)})
        self._recorder.record(RuleOff(self._known.fleet.at, rule, str(error)))
