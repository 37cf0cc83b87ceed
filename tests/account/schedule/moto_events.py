"""Events that start tasks: moto knows which rules an event matches, and no target that is a cluster of ECS.

moto has one place where it hands an event to a rule's targets, `Rule.send_to_targets`. What is to be started is started
by the site's schedules; what else there is stays moto's.
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
    # To moto every event matches a rule that has no pattern; EventBridge starts such a rule by its schedule alone.
    matched = rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event)
    if starts and heard is not None and matched and rule.state == ENABLED:
        heard(rule.name)
    others = copy.copy(rule)
    others.targets = [target for target in rule.targets if target not in starts]
    _MOTOS(others, event, transform_input)
