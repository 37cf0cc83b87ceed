"""Healthy enough to go on: what the operator watches beside the services, and what keeps the next drain waiting.

Whatever is not known to be well counts as not well: an alarm that has no data, that does not exist or that nobody
may read, and a probe that does not answer. In flight, the same keeps a slot from settling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.services import Health

OK = "OK"
"""The one state of an alarm that lets updates go on. Source: StateValue of DescribeAlarms."""

ANY = "*"

NAMED_AT_MOST = 3
"""How many of those that are not well are named in a reason."""

# CloudWatch takes any printable text of up to 255 characters as the name of an alarm.
_ALARM = re.compile(r"[^\x00-\x1f*;]{1,255}\*?")
_PROBE = re.compile(r"https?://[^\s;]{1,2000}")


@dataclass(frozen=True, slots=True, order=True)
class AlarmRule:
    """One alarm by its name, or all whose names begin with a prefix; composite ones too."""

    name: str
    prefix: bool = False

    @classmethod
    def parse(cls, text: str) -> AlarmRule:
        """Read `checkout-errors` or `web-*`. Raises ValueError for anything else."""
        if not _ALARM.fullmatch(text):
            raise ValueError("that is no name of an alarm")
        return cls(text.removesuffix(ANY), text.endswith(ANY))

    def __str__(self) -> str:
        return f"{self.name}{ANY}" if self.prefix else self.name

    def matches(self, name: str) -> bool:
        """Whether an alarm of that name is meant."""
        return name.startswith(self.name) if self.prefix else name == self.name


@dataclass(frozen=True, slots=True)
class HealthRules:
    """What must be well before the next instance is drained, and before a slot has settled."""

    alarms: tuple[AlarmRule, ...] = ()
    probes: tuple[str, ...] = ()
    """URLs that must answer a GET with a status of success."""

    def __bool__(self) -> bool:
        return bool(self.alarms or self.probes)


def read_probe(text: str) -> str:
    """A URL that can be asked. Raises ValueError for anything else."""
    if not _PROBE.fullmatch(text):
        raise ValueError("that is no URL")
    return text


def judge_alarms(rules: Iterable[AlarmRule], states: Mapping[str, str]) -> tuple[str, ...]:
    """Why each alarm that a rule names is not OK; `states` are those that CloudWatch has, by name."""
    unwell: dict[str, None] = {}
    for rule in rules:
        meant = sorted(name for name in states if rule.matches(name))
        if not meant:
            unwell[f"there is no alarm {rule}"] = None
        unwell |= {f"alarm {name} is {states[name]}": None for name in meant if states[name] != OK}
    return tuple(unwell)


def hold_for_health(health: Health) -> Hold | None:
    """Why nothing may be drained now, None where all is well."""
    if not health.unwell:
        return None
    more = len(health.unwell) - NAMED_AT_MOST
    named = "; ".join(health.unwell[:NAMED_AT_MOST]) + (f"; and {more} more" if more > 0 else "")
    return hold(Reason.UNWELL, why=named)
