"""The parts of S3 that a state store needs: objects, conditional writes, paged lists."""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock

KEYS_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Object:
    body: bytes
    etag: str
    modified_at: datetime
    content_type: str


@dataclass(slots=True)
class _Bucket:
    objects: dict[str, _Object] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    """Sorted, like lists."""


class ObjectStore:
    """Buckets in memory. Bodies are bytes here; the clients convert them to streams."""

    def __init__(self, clock: WorldClock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "CreateBucket": self.create_bucket,
            "HeadBucket": self.head_bucket,
            "GetObject": self.get,
            "HeadObject": self.head,
            "PutObject": self.put,
            "DeleteObject": self.delete,
            "ListObjectsV2": self.list_objects,
        }

    def create_bucket(self, request: Shape) -> Shape:
        """Create an empty bucket; does nothing if it exists."""
        self._buckets.setdefault(request["Bucket"], _Bucket())
        return {"Location": f"/{request['Bucket']}"}

    def head_bucket(self, request: Shape) -> Shape:
        """Check that the bucket exists."""
        if request["Bucket"] not in self._buckets:
            raise AwsError("404", "Not Found", 404)
        return {}

    def get(self, request: Shape) -> Shape:
        """An object with its body."""
        found = self._find(request)
        if found is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        return {**_described(found), "Body": found.body}

    def head(self, request: Shape) -> Shape:
        """An object without its body."""
        found = self._find(request)
        if found is None:
            raise AwsError("404", "Not Found", 404)
        return _described(found)

    def put(self, request: Shape) -> Shape:
        """Write an object. `IfMatch` requires an ETag, `IfNoneMatch` requires that the object does not exist."""
        bucket = self._bucket(request)
        _check_conditions(request, bucket.objects.get(request["Key"]))
        body = _bytes(request.get("Body", b""))
        # S3's ETag of a simple upload is its MD5; security does not depend on the hash here.
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if request["Key"] not in bucket.objects:
            insort(bucket.keys, request["Key"])
        content_type = request.get("ContentType", "binary/octet-stream")
        bucket.objects[request["Key"]] = _Object(body, etag, self._clock.now(), content_type)
        return {"ETag": etag}

    def delete(self, request: Shape) -> Shape:
        """Delete an object; a missing one is an error only with `IfMatch`."""
        bucket = self._bucket(request)
        _check_conditions(request, bucket.objects.get(request["Key"]))
        if bucket.objects.pop(request["Key"], None) is not None:
            bucket.keys.remove(request["Key"])
        return {}

    def list_objects(self, request: Shape) -> Shape:
        """Keys under a prefix, in order; with a delimiter, common prefixes once."""
        bucket = self._bucket(request)
        size = min(request.get("MaxKeys", KEYS_PAGE), KEYS_PAGE)
        prefix, delimiter = request.get("Prefix", ""), request.get("Delimiter", "")
        after = request.get("ContinuationToken") or request.get("StartAfter", "")
        contents: list[Shape] = []
        folders: list[str] = []
        last = ""
        truncated = False
        for key in bucket.keys[bisect_right(bucket.keys, after) :]:
            if not key.startswith(prefix) or (folders and key.startswith(folders[-1])):
                continue
            if delimiter and after.startswith(prefix) and after.endswith(delimiter) and key.startswith(after):
                continue
            if len(contents) + len(folders) == size:
                truncated = True
                break
            _, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
            if found:
                last = key[: key.index(delimiter, len(prefix)) + len(delimiter)]
                folders.append(last)
            else:
                last = key
                contents.append(_listed(key, bucket.objects[key]))
        answer: Shape = {
            "IsTruncated": truncated,
            "Name": request["Bucket"],
            "Prefix": prefix,
            "MaxKeys": size,
            "KeyCount": len(contents) + len(folders),
        }
        if contents:
            answer["Contents"] = contents
        if folders:
            answer["CommonPrefixes"] = [{"Prefix": folder} for folder in folders]
        if truncated:
            answer["NextContinuationToken"] = last
        return answer

    def _bucket(self, request: Shape) -> _Bucket:
        bucket = self._buckets.get(request["Bucket"])
        if bucket is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        return bucket

    def _find(self, request: Shape) -> _Object | None:
        return self._bucket(request).objects.get(request["Key"])


def _check_conditions(request: Shape, there: _Object | None) -> None:
    wanted, unwanted = request.get("IfMatch"), request.get("IfNoneMatch")
    if unwanted is not None and there is not None and unwanted in ("*", there.etag):
        raise _precondition_failed()
    if wanted is None:
        return
    if there is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
    if wanted != "*" and wanted.strip('"') != there.etag.strip('"'):
        raise _precondition_failed()


def _precondition_failed() -> AwsError:
    return AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    read: Callable[[], bytes] = body.read  # type: ignore[attr-defined]  # botocore takes anything file-like
    return read()


def _described(found: _Object) -> Shape:
    return {
        "ETag": found.etag,
        "LastModified": found.modified_at,
        "ContentLength": len(found.body),
        "ContentType": found.content_type,
        "Metadata": {},
    }


def _listed(key: str, found: _Object) -> Shape:
    return {
        "Key": key,
        "LastModified": found.modified_at,
        "ETag": found.etag,
        "Size": len(found.body),
        "StorageClass": "STANDARD",
    }
