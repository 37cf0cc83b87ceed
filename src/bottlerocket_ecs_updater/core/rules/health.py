"""Health rules: alarms and probes that must be healthy before the next drain, and before a slot settles.

Anything not known to be healthy counts as unhealthy: an alarm that has no data, does not exist or cannot be read, and a
probe that does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.services import Health
from bottlerocket_ecs_updater.core.model.wording import and_more

ALARM_OK = "OK"
"""The only alarm state in which updates continue. Source: StateValue of DescribeAlarms."""

ANY = "*"


# CloudWatch takes any printable text of up to 255 characters as the name of an alarm.
_ALARM = re.compile(r"[^\x00-\x1f*;]{1,255}\*?")
_PROBE = re.compile(r"https?://[^\s;]{1,2000}")


@dataclass(frozen=True, slots=True, order=True)
class AlarmRule:
    """One alarm by name, or all alarms with a prefix; composite alarms too."""

    name: str
    prefix: bool = False

    @classmethod
    def parse(cls, text: str) -> AlarmRule:
        """Read `checkout-errors` or `web-*`. Raises ValueError for anything else."""
        if not _ALARM.fullmatch(text):
            raise ValueError("that is not the name of an alarm")
        return cls(text.removesuffix(ANY), text.endswith(ANY))

    def __str__(self) -> str:
        return f"{self.name}{ANY}" if self.prefix else self.name

    def matches(self, name: str) -> bool:
        """Whether the rule matches an alarm of that name."""
        return name.startswith(self.name) if self.prefix else name == self.name


@dataclass(frozen=True, slots=True)
class HealthRules:
    """What must be healthy before the next instance is drained, and before a slot settles."""

    alarms: tuple[AlarmRule, ...] = ()
    probes: tuple[str, ...] = ()
    """URLs that must answer a GET with a success status."""

    def __bool__(self) -> bool:
        return bool(self.alarms or self.probes)


def read_probe(text: str) -> str:
    """Read the URL of a probe. Raises ValueError for anything else."""
    if not _PROBE.fullmatch(text):
        raise ValueError("that is not a URL")
    return text


def judge_alarms(rules: Iterable[AlarmRule], states: Mapping[str, str]) -> tuple[str, ...]:
    """Why each alarm of the rules is not OK; `states` are the states in CloudWatch, by alarm name.

    A state that is not OK may end with since when.
    """
    unwell: dict[str, None] = {}
    for rule in rules:
        meant = sorted(name for name in states if rule.matches(name))
        if not meant:
            unwell[f"there is no alarm {rule}"] = None
        unwell |= {f"alarm {name} is {states[name]}": None for name in meant if states[name] != ALARM_OK}
    return tuple(unwell)


def hold_for_health(health: Health) -> Hold | None:
    """Why nothing may be drained now; None if everything is healthy."""
    if not health.unwell:
        return None
    return hold(Reason.UNWELL, why=and_more(health.unwell, between="; "))
