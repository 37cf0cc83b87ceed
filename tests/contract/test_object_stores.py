"""The object store in memory and moto's keep the same promises about conditional writes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.doors import Door

BUCKET = "the-state-store"


@pytest.fixture(scope="module")
def store(door: Door) -> Door:
    door.ask("s3", "create_bucket", Bucket=BUCKET)
    return door


def put(store: Door, key: str, **conditions: Any) -> Any:
    return store.ask("s3", "put_object", Bucket=BUCKET, Key=key, Body=b"text", **conditions)


def test_what_was_put_is_read_back_with_the_same_tag(store: Door) -> None:
    tag = put(store, "read/a")["ETag"]
    answer = store.ask("s3", "get_object", Bucket=BUCKET, Key="read/a")
    assert (answer["Body"], answer["ETag"]) == (b"text", tag)


def test_a_key_that_is_not_there_is_no_such_key(store: Door) -> None:
    assert store.ask("s3", "get_object", Bucket=BUCKET, Key="nothing")[1:4:2] == ("NoSuchKey", 404)


def test_a_bucket_that_is_not_there_is_no_such_bucket(store: Door) -> None:
    assert store.ask("s3", "get_object", Bucket="no-bucket-here", Key="a")[1:4:2] == ("NoSuchBucket", 404)


def test_only_the_first_of_two_creates_an_object(store: Door) -> None:
    put(store, "first/a", IfNoneMatch="*")
    assert put(store, "first/a", IfNoneMatch="*")[1:4:2] == ("PreconditionFailed", 412)


def test_a_write_over_something_else_than_was_read_is_refused(store: Door) -> None:
    put(store, "over/a")
    assert put(store, "over/a", IfMatch='"00000000000000000000000000000000"')[1:4:2] == ("PreconditionFailed", 412)


def test_a_write_over_what_was_read_succeeds(store: Door) -> None:
    tag = put(store, "match/a")["ETag"]
    assert "ETag" in put(store, "match/a", IfMatch=tag)


def test_what_was_deleted_is_gone(store: Door) -> None:
    put(store, "delete/a")
    store.ask("s3", "delete_object", Bucket=BUCKET, Key="delete/a")
    assert store.ask("s3", "get_object", Bucket=BUCKET, Key="delete/a")[1] == "NoSuchKey"


def test_a_delete_of_something_else_than_was_read_is_refused(store: Door) -> None:
    put(store, "kept/a")
    refused = store.ask(
        "s3", "delete_object", Bucket=BUCKET, Key="kept/a", IfMatch='"00000000000000000000000000000000"'
    )
    assert refused[1:4:2] == ("PreconditionFailed", 412)


def test_lists_come_in_order_and_in_pages(store: Door) -> None:
    for name in "bac":
        put(store, f"list/{name}")
    first = store.ask("s3", "list_objects_v2", Bucket=BUCKET, Prefix="list/", MaxKeys=2)
    rest = store.ask(
        "s3",
        "list_objects_v2",
        Bucket=BUCKET,
        Prefix="list/",
        MaxKeys=2,
        ContinuationToken=first["NextContinuationToken"],
    )
    keys = [each["Key"] for page in (first, rest) for each in page["Contents"]]
    assert (keys, rest["IsTruncated"]) == (["list/a", "list/b", "list/c"], False)


def test_a_delimiter_folds_what_is_below_it(store: Door) -> None:
    for name in ("fold/x/1", "fold/x/2", "fold/y"):
        put(store, name)
    answer = store.ask("s3", "list_objects_v2", Bucket=BUCKET, Prefix="fold/", Delimiter="/")
    assert answer["CommonPrefixes"] == [{"Prefix": "fold/x/"}]
    assert [each["Key"] for each in answer["Contents"]] == ["fold/y"]
