"""Events that start tasks: moto matches events to rules, but does not know targets that are ECS clusters.

moto passes an event to a rule's targets in one place, `Rule.send_to_targets`. The site's schedules start the tasks;
moto handles all other targets.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from moto.events.models import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

SEAM = "send_to_targets"
ENABLED = "ENABLED"

_MOTOS: Callable[..., None] = getattr(Rule, SEAM)

HEARD: dict[str, Callable[[str], None]] = {}
"""By account: the listener for names of matched rules."""


def install(account: str, heard: Callable[[str], None]) -> None:
    """Report an account's matched rules whose targets are tasks."""
    setattr(Rule, SEAM, _send)
    HEARD[account] = heard


def uninstall(account: str) -> None:
    """Stop reporting."""
    HEARD.pop(account, None)


def _send(rule: Rule, event: Any, transform_input: bool = True) -> None:
    starts = [target for target in rule.targets if "EcsParameters" in target]
    heard = HEARD.get(rule.account_id)
    # In moto every event matches a rule without a pattern; EventBridge starts such a rule only by its schedule.
    matched = rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event)
    if starts and heard is not None and matched and rule.state == ENABLED:
        heard(rule.name)
    others = copy.copy(rule)
    others.targets = [target for target in rule.targets if target not in starts]
    _MOTOS(others, event, transform_input)
