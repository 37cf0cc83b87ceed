"""Rejects truncated responses, and responses of other servers, which botocore would parse as AWS's.

botocore parses a body that is not JSON as a response without members, and does not check its length. It accepts any
XML: the login page of a network is then a list without entries, and a proxy's 404 is an object that does not exist. So
a cluster would look empty, or an update would not look paused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from botocore.hooks import BaseEventHooks
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody

OK_BELOW = 300

_PLAIN_STATUSES = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.TOO_MANY_REQUESTS})


def refuse_broken_replies(events: BaseEventHooks) -> None:
    """Check all responses of a client."""
    events.register_last("before-parse", _look)


def _look(operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:
    status = response_dict["status_code"]
    if status >= OK_BELOW:
        _refuse_foreign_error(status, response_dict["headers"], response_dict["body"])
    protocol = str(operation_model.service_model.resolved_protocol)
    if protocol in ("json", "rest-json") and not operation_model.has_streaming_output:
        expected = bool(operation_model.output_shape and operation_model.output_shape.members)
        refuse_broken(response_dict["body"], ok=status < OK_BELOW, expected=expected)
    elif status < OK_BELOW and not _by_aws(operation_model.name, protocol, response_dict):
        raise ResponseParserError(f"{_seen(response_dict['body'])} is not a reply to {operation_model.name}")


def _by_aws(operation: str, protocol: str, response: Mapping[str, Any]) -> bool:
    """Whether a successful reply in XML, or from an object store, has what every reply of that kind has."""
    if protocol in ("query", "ec2"):
        return f"<{operation}Response".encode() in response["body"]
    match operation:
        case "ListObjectsV2":
            return b"<ListBucketResult" in response["body"]
        case "GetObject" | "PutObject":
            return "etag" in {name.lower() for name in response["headers"]}
        case "DeleteObject":
            return bool(response["status_code"] == HTTPStatus.NO_CONTENT)
        case _:
            return True


def _refuse_foreign_error(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise ResponseParserError if an error names no code of AWS, so that the status may be a proxy's.

    Statuses that mean the same from any server are left to the caller.
    """
    named = any(sign in body for sign in (b"__type", b"<Code>", b'"code"'))
    if named or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PLAIN_STATUSES:
        return
    if any(name.lower() == "x-amzn-errortype" for name in headers):
        return
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    raise ResponseParserError(f"status {status} {phrase}{f', {_start(body)}' if body else ''}")


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


def _seen(body: bytes | StreamingBody) -> str:
    if isinstance(body, bytes):
        return _start(body)
    body.close()  # Otherwise its connection would stay open until Python collects it.
    return "a body of another kind"


def _start(body: bytes) -> str:
    return repr(body[:40].decode(errors="replace"))
