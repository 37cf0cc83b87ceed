"""Refuse replies that are not whole, before botocore takes them for empty ones.

botocore reads a body that is no JSON as a reply without members, and does not hold its length against its header. So a
list whose reply was cut off, or was a proxy's page, would be the list of nothing: a cluster without instances.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from botocore.parsers import ResponseParserError

OK_BELOW = 300


class Events(Protocol):
    """What of botocore's event system is used."""

    def register_last(self, event_name: str, handler: Callable[..., None], /) -> None:
        """Have a handler called after all others when something happens."""


def refuse_broken_replies(events: Events) -> None:
    """Have the replies of one client looked at."""
    events.register_last("before-parse", _look)


def _look(operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:
    protocol = str(operation_model.service_model.resolved_protocol)
    if protocol not in ("json", "rest-json") or operation_model.has_streaming_output:
        return
    expected = bool(operation_model.output_shape and operation_model.output_shape.members)
    refuse_broken(response_dict["body"], ok=response_dict["status_code"] < OK_BELOW, expected=expected)


def refuse_broken(body: bytes, *, ok: bool, expected: bool) -> None:
    """Raises ResponseParserError for what is no JSON object; an error, or a reply without members, may say nothing."""
    if not body and not (ok and expected):
        return
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        if ok:
            raise ResponseParserError(f"{_beginning(body)} is no JSON: {error}") from error
        return  # of a server that fails, its status says enough
    if not isinstance(found, dict):
        raise ResponseParserError(f"{_beginning(body)} is no JSON object")


def _beginning(body: bytes) -> str:
    return repr(body[:40].decode(errors="replace"))
