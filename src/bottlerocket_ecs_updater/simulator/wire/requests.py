"""What a request shows before it is parsed: service, operation, and the signing key."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]

_FORM = "application/x-www-form-urlencoded"
_OBJECT_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}
_BUCKET_OPERATIONS = {"GET": "ListObjects", "PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}


@dataclass(frozen=True, slots=True)
class Outside:
    """A request as its headers show it."""

    service: str
    operation: str
    key: str
    """The access key."""


def read_envelope(environ: Environ) -> Outside | None:
    """Read the headers; None for an unsigned request."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
    if len(scope) != 5:
        return None
    key, _, _, service, _ = scope
    return Outside(service, _operation(environ, service), key)


def _operation(environ: Environ, service: str) -> str:
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return target.rpartition(".")[2]
    if service == "s3":
        return _s3_operation(environ)
    if environ.get("CONTENT_TYPE", "").startswith(_FORM):
        return parse_qs(_body(environ)).get("Action", ["?"])[0]
    return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"


def _s3_operation(environ: Environ) -> str:
    method: str = environ.get("REQUEST_METHOD", "")
    has_key = "/" in environ.get("PATH_INFO", "").strip("/")
    if not has_key and "list-type=2" in environ.get("QUERY_STRING", ""):
        return "ListObjectsV2"
    return (_OBJECT_OPERATIONS if has_key else _BUCKET_OPERATIONS).get(method, method)


def _body(environ: Environ) -> str:
    """Read the body, and reset it for the next reader."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body.decode("utf-8", "replace")
