"""The object store in memory and moto's S3 handle conditional writes in the same way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.doors import Door

ROOM = f"contract/{uuid.uuid4().hex}"
"""A new name, so that objects of earlier runs do not interfere."""


@pytest.fixture(scope="module")
def store(door: Door) -> Iterator[Door]:
    if door.owned:
        door.ask("s3", "create_bucket", Bucket=door.bucket)
    yield door
    for each in door.ask("s3", "list_objects_v2", Bucket=door.bucket, Prefix=ROOM).get("Contents", ()):
        door.ask("s3", "delete_object", Bucket=door.bucket, Key=each["Key"])


def put(store: Door, key: str, **conditions: Any) -> Any:
    return store.ask("s3", "put_object", Bucket=store.bucket, Key=f"{ROOM}/{key}", Body=b"text", **conditions)


def test_a_written_object_is_read_back_with_the_same_tag(store: Door) -> None:
    tag = put(store, "read/a")["ETag"]
    answer = store.ask("s3", "get_object", Bucket=store.bucket, Key=f"{ROOM}/read/a")
    assert (answer["Body"], answer["ETag"]) == (b"text", tag)


def test_a_key_that_is_not_there_is_no_such_key(store: Door) -> None:
    assert store.ask("s3", "get_object", Bucket=store.bucket, Key=f"{ROOM}/nothing")[1:4:2] == ("NoSuchKey", 404)


def test_a_bucket_that_is_not_there_is_no_such_bucket(store: Door) -> None:
    answer = store.ask("s3", "get_object", Bucket=f"no-bucket-{uuid.uuid4().hex}", Key="a")
    assert answer[1:4:2] == ("NoSuchBucket", 404)


def test_only_the_first_of_two_creates_an_object(store: Door) -> None:
    put(store, "first/a", IfNoneMatch="*")
    assert put(store, "first/a", IfNoneMatch="*")[1:4:2] == ("PreconditionFailed", 412)


def test_a_write_over_something_else_than_was_read_is_refused(store: Door) -> None:
    put(store, "over/a")
    assert put(store, "over/a", IfMatch='"00000000000000000000000000000000"')[1:4:2] == ("PreconditionFailed", 412)


def test_a_write_over_the_version_that_was_read_succeeds(store: Door) -> None:
    tag = put(store, "match/a")["ETag"]
    assert "ETag" in put(store, "match/a", IfMatch=tag)


def test_a_deleted_object_is_gone(store: Door) -> None:
    put(store, "delete/a")
    store.ask("s3", "delete_object", Bucket=store.bucket, Key=f"{ROOM}/delete/a")
    assert store.ask("s3", "get_object", Bucket=store.bucket, Key=f"{ROOM}/delete/a")[1] == "NoSuchKey"


def test_a_delete_of_something_else_than_was_read_is_refused(store: Door) -> None:
    put(store, "kept/a")
    refused = store.ask(
        "s3", "delete_object", Bucket=store.bucket, Key=f"{ROOM}/kept/a", IfMatch='"00000000000000000000000000000000"'
    )
    assert refused[1:4:2] == ("PreconditionFailed", 412)


def test_lists_come_in_order_and_in_pages(store: Door) -> None:
    for name in "bac":
        put(store, f"list/{name}")
    first = store.ask("s3", "list_objects_v2", Bucket=store.bucket, Prefix=f"{ROOM}/list/", MaxKeys=2)
    rest = store.ask(
        "s3",
        "list_objects_v2",
        Bucket=store.bucket,
        Prefix=f"{ROOM}/list/",
        MaxKeys=2,
        ContinuationToken=first["NextContinuationToken"],
    )
    keys = [each["Key"].removeprefix(f"{ROOM}/") for page in (first, rest) for each in page["Contents"]]
    assert (keys, rest["IsTruncated"]) == (["list/a", "list/b", "list/c"], False)


def test_a_delimiter_folds_what_is_below_it(store: Door) -> None:
    for name in ("fold/x/1", "fold/x/2", "fold/y"):
        put(store, name)
    answer = store.ask("s3", "list_objects_v2", Bucket=store.bucket, Prefix=f"{ROOM}/fold/", Delimiter="/")
    assert answer["CommonPrefixes"] == [{"Prefix": f"{ROOM}/fold/x/"}]
    assert [each["Key"] for each in answer["Contents"]] == [f"{ROOM}/fold/y"]
