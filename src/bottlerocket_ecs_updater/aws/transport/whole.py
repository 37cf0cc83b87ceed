"""Rejects truncated responses, which botocore would parse as empty ones.

botocore parses a body that is not JSON as a response without members, and does not check its length. So a truncated
list, or a proxy's error page, would look like an empty list: a cluster without instances.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from botocore.parsers import ResponseParserError

OK_BELOW = 300


class Events(Protocol):
    """The parts of botocore's event system that are used."""

    def register_last(self, event_name: str, handler: Callable[..., None], /) -> None:
        """Call `handler` after all others when the event happens."""


def refuse_broken_replies(events: Events) -> None:
    """Check all responses of a client."""
    events.register_last("before-parse", _look)


def _look(operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:
    protocol = str(operation_model.service_model.resolved_protocol)
    if protocol not in ("json", "rest-json") or operation_model.has_streaming_output:
        return
    expected = bool(operation_model.output_shape and operation_model.output_shape.members)
    refuse_broken(response_dict["body"], ok=response_dict["status_code"] < OK_BELOW, expected=expected)


def refuse_broken(body: bytes, *, ok: bool, expected: bool) -> None:
    """Raise ResponseParserError if the body is not a JSON object. Errors and responses without members may be empty."""
    if not body and not (ok and expected):
        return
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        if ok:
            raise ResponseParserError(f"{_start(body)} is not JSON: {error}") from error
        return  # the status of an error response is enough
    if not isinstance(found, dict):
        raise ResponseParserError(f"{_start(body)} is not a JSON object")


def _start(body: bytes) -> str:
    return repr(body[:40].decode(errors="replace"))
