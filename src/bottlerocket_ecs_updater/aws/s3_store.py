"""The state store in S3: a prefix of a bucket, written with conditional requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Stored, Unconditional

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import (
        DeleteObjectRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
        PutObjectRequestTypeDef,
    )

_NO_OBJECT_CODES = frozenset({"NoSuchKey", "404", "NotFound"})
_CONFLICT_CODES = frozenset({"PreconditionFailed", "412"}) | _NO_OBJECT_CODES
"""Error codes that mean a failed condition. They include "no such object": a deleted object lacks the expected tag.

409 is not one of them: S3 wrote nothing and did not compare tags, because another write was in progress. That may
be our own earlier write whose reply was lost. The write is sent again.
"""

_UNSUPPORTED_CODES = frozenset({"NotImplemented", "501"})
"""How S3-compatible stores refuse a condition that they do not know: "a header you provided implies functionality"."""

_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
}
"""Set so that a browser shows a report when a person follows a link to it."""


class S3Store:
    """Implements `engine.ports.Store`; an object's ETag is its tag.

    The lease is stored here, so these requests must not check the lease first: pass an `Api` without that hook.
    """

    def __init__(self, clients: Pair[S3Client], api: Api, bucket: str, prefix: str = "") -> None:
        self._clients = clients
        self._api = api
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def get(self, key: str) -> Stored | None:
        """Read an object; None if it does not exist."""

        def read() -> Stored:
            reply = self._clients.looking.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return Stored(reply["Body"].read(), reply["ETag"])

        try:
            return self._api.look(Operation.GET_OBJECT, self._where(key), read)
        except CallRefused as refusal:
            if refusal.code in _NO_OBJECT_CODES:
                return None
            raise

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        """Write an object. Raises Conflict if the object is not as expected: read it, then decide.

        Raises Unreachable if the reply was lost: the write may have taken effect, so read the object to find out.
        Raises Throttled if other writes kept getting in the way: the write did not take effect.
        """
        request: PutObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._prefix + key, "Body": data}
        kind = _CONTENT_TYPES.get(key.rpartition(".")[2])
        if kind is not None:
            request["ContentType"] = kind
        if expect == ABSENT:
            request["IfNoneMatch"] = "*"
        elif expect is not None:
            request["IfMatch"] = expect
        try:
            reply = self._api.act(Operation.PUT_OBJECT, self._where(key), self._clients.acting.put_object, **request)
        except CallRefused as refusal:
            raise self._conflict(refusal, key, expect) from refusal
        return reply["ETag"]

    def delete(self, key: str, expect: str | None) -> None:
        """Delete an object under the same condition. Without a condition, a missing object is fine."""
        if expect == ABSENT:
            if self.get(key) is not None:
                raise Conflict(f"{self._where(key)} exists")
            return
        request: DeleteObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._prefix + key}
        if expect is not None:
            request["IfMatch"] = expect
        try:
            self._api.act(Operation.DELETE_OBJECT, self._where(key), self._clients.acting.delete_object, **request)
        except CallRefused as refusal:
            raise self._conflict(refusal, key, expect) from refusal

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        """The keys under a prefix that sort after `after`, in order."""

        def ask(token: str | None) -> ListObjectsV2OutputTypeDef:
            request: ListObjectsV2RequestTypeDef = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
            if after:
                request["StartAfter"] = self._prefix + after
            if token:
                request["ContinuationToken"] = token
            return self._api.look(
                Operation.LIST_OBJECTS, self._where(prefix), self._clients.looking.list_objects_v2, **request
            )

        found = pages(ask, lambda page: page.get("NextContinuationToken"))
        return sorted(
            shape.get("Key", "").removeprefix(self._prefix) for page in found for shape in page.get("Contents", ())
        )

    def _where(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def _conflict(self, refusal: CallRefused, key: str, expect: str | None) -> Exception:
        if expect is not None and refusal.code in _CONFLICT_CODES:
            return Conflict(f"{self._where(key)} is not as expected")
        if expect is not None and refusal.code in _UNSUPPORTED_CODES:
            return Unconditional(
                f"the state store does not support conditional writes ({refusal.code}). Without them, two runs could "
                "hold the lease at once; use Amazon S3"
            )
        return refusal
