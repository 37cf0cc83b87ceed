"""The output of `apiclient update check`, and ways in which it may be malformed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import Oddity
from bottlerocket_ecs_updater.simulator.host.status import compact, pretty

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host.status import UpdateStatus

GARBAGE = "\x00\ufffd\ufffd}{ not what was asked for\n"


def distort(status: UpdateStatus, oddity: Oddity | None) -> str:
    """The stdout of a check with this status, malformed by `oddity`; correct if that is None."""
    value = status.to_json()
    right = pretty(value) + "\n"
    match oddity:
        case None | Oddity.COLOURED | Oddity.NO_BOOT_ID:
            return right
        case Oddity.GARBAGE:
            return GARBAGE
        case Oddity.EMPTY:
            return ""
        case Oddity.TRUNCATED:
            return right[: len(right) * 2 // 3] + "--output truncated--"
        case Oddity.MISSING_FIELDS:
            return pretty({key: value[key] for key in ("available_updates", "update_state")}) + "\n"
        case Oddity.UNKNOWN_STATE:
            return pretty(value | {"update_state": "Reticulating"}) + "\n"
        case Oddity.STRUCT_ORDER:
            return compact(value) + "\n"
