"""What a run does not check because AWS does not allow or offer a call, in one sentence each.

AWS's own text of a denial is long and names roles and policies. The log has all of it; people first need the action.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

WITHOUT = {
    "room": "whether tasks fit elsewhere is not checked before a drain",
    "capacity-providers": "it is not known whether capacity providers may add instances",
    "network-interfaces": "it is not known whether instances have network interfaces and EBS attachments left",
    "auto-scaling": "an instance that its Auto Scaling group is replacing or terminating may be updated",
    "instance-refreshes": "an instance that its Auto Scaling group is replacing may be updated",
    "task-protection": "hosts whose tasks are protected may be drained",
    "stopped-hosts": "stopped and terminated hosts count as unavailable",
}
"""What follows from a rule that is off."""

_SAID_PER_SERVICE = frozenset({"capacity-providers", "network-interfaces"})
"""Rules whose missing facts the check for room names itself, for each service that needs them."""

_DENIED = re.compile(r"not allowed: ([\w-]+:\w+)")
_SHOWN = 200
"""Characters of an error that is not a denial."""


def unchecked_rules(off: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The rules that are off, each with what is not checked. `off` gives the error for each.

    It leaves out those whose missing facts the check for room names.
    """
    for rule, why in off.items():
        if rule not in _SAID_PER_SERVICE:
            yield rule, unchecked(rule, why)


def unchecked(rule: str, why: str) -> str:
    """What is not checked without a rule, and what would change that."""
    return f"{WITHOUT.get(rule, f'{rule} are ignored')}: {in_short(why)}"


def in_short(why: str) -> str:
    """The text of an error as one clause: for a denial, the action to allow."""
    denied = _DENIED.match(why)
    return f"allow the updater to call {denied[1]}" if denied else why[:_SHOWN]
