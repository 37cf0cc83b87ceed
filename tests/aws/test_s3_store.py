"""The state store in S3, against an S3 that supports conditional writes."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
from tests.aws.fakes import Bench, Fake, Shape, refusal

from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored, Unconditional
from bottlerocket_ecs_updater.errors import Denied, NotFound, Throttled, Unreachable


class FakeS3(Fake):
    """One bucket, in which every write gives a new tag."""

    def __init__(self) -> None:
        super().__init__(page_size=3)
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.writes = 0

    def get_object(self, **request: Any) -> Shape:
        self._enter("get_object", request)
        if request["Key"] not in self.objects:
            raise refusal("NoSuchKey", status=404)
        data, tag = self.objects[request["Key"]]
        return {"Body": io.BytesIO(data), "ETag": tag}

    def put_object(self, **request: Any) -> Shape:
        self._enter("put_object", request)
        self._expect(request)
        self.writes += 1
        tag = f'"{self.writes}"'
        self.objects[request["Key"]] = (request["Body"], tag)
        return {"ETag": tag}

    def delete_object(self, **request: Any) -> Shape:
        self._enter("delete_object", request)
        self._expect(request)
        self.objects.pop(request["Key"], None)
        return {}

    def list_objects_v2(self, **request: Any) -> Shape:
        self._enter("list_objects_v2", request)
        after = request.get("StartAfter", "")
        keys = sorted(key for key in self.objects if key.startswith(request["Prefix"]) and key > after)
        page = self._page(keys, "Contents", request.get("ContinuationToken"), "NextContinuationToken")
        return {**page, "Contents": [{"Key": key} for key in page["Contents"]]}

    def _expect(self, request: Shape) -> None:
        there = self.objects.get(request["Key"])
        if request.get("IfNoneMatch") == "*" and there is not None:
            raise refusal("PreconditionFailed", status=412)
        if "IfMatch" in request and there is None:
            raise refusal("NoSuchKey", status=404)
        if "IfMatch" in request and there is not None and request["IfMatch"] != there[1]:
            raise refusal("PreconditionFailed", status=412)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def store(s3: FakeS3) -> Store:
    return S3Store(Pair.of(cast("Any", s3)), Bench().api, "bucket", "/updater/web/")


def test_a_written_object_is_read_with_its_tag(store: Store) -> None:
    tag = store.put("lease", b"mine", ABSENT)
    assert store.get("lease") == Stored(b"mine", tag)


def test_an_object_that_is_not_there_is_none(store: Store) -> None:
    assert store.get("lease") is None


def test_keys_live_under_the_prefix(store: Store, s3: FakeS3) -> None:
    store.put("lease", b"mine", None)
    assert list(s3.objects) == ["updater/web/lease"]


def test_an_object_that_must_not_be_there_is_not_overwritten(store: Store) -> None:
    store.put("lease", b"theirs", ABSENT)
    with pytest.raises(Conflict):
        store.put("lease", b"mine", ABSENT)


def test_an_object_with_another_tag_is_not_overwritten(store: Store) -> None:
    before = store.put("lease", b"old", None)
    store.put("lease", b"theirs", None)
    with pytest.raises(Conflict):
        store.put("lease", b"mine", before)


def test_an_object_with_the_expected_tag_is_overwritten(store: Store) -> None:
    before = store.put("lease", b"old", None)
    after = store.put("lease", b"new", before)
    assert store.get("lease") == Stored(b"new", after)


def test_an_expected_object_that_is_gone_is_a_conflict(store: Store) -> None:
    tag = store.put("lease", b"mine", None)
    store.delete("lease", None)
    with pytest.raises(Conflict):
        store.put("lease", b"mine", tag)


OVERLAPPING: list[BaseException | None] = [
    refusal("ConditionalRequestConflict", status=409),
    refusal("OperationAborted", status=409),
]


@pytest.mark.parametrize("answer", OVERLAPPING, ids=["409", "aborted"])
@pytest.mark.parametrize("expect", [ABSENT, None])
def test_a_write_that_overlaps_another_one_is_retried(
    store: Store, s3: FakeS3, answer: BaseException, expect: str | None
) -> None:
    s3.troubles["put_object"] = [answer, answer]
    tag = store.put("lease", b"mine", expect)
    assert store.get("lease") == Stored(b"mine", tag)


def test_a_store_that_knows_no_conditions_is_named_as_such(store: Store, s3: FakeS3) -> None:
    s3.troubles["put_object"] = [refusal("NotImplemented", status=501)]
    with pytest.raises(Unconditional, match="does not support conditional writes"):
        store.put("lease", b"mine", ABSENT)
    s3.troubles["put_object"] = [refusal("NotImplemented", status=501)]
    with pytest.raises(CallRefused):
        store.put("lease", b"mine", None)


def test_a_write_that_finds_the_other_one_done_is_a_conflict(store: Store, s3: FakeS3) -> None:
    before = store.put("lease", b"old", None)
    s3.troubles["put_object"] = [OVERLAPPING[0]]
    s3.objects["updater/web/lease"] = (b"theirs", "another")
    with pytest.raises(Conflict):
        store.put("lease", b"mine", before)


def test_a_write_that_overlaps_others_again_and_again_was_not_made(s3: FakeS3) -> None:
    bench = Bench()
    store = S3Store(Pair.of(cast("Any", s3)), bench.api, "bucket")
    s3.troubles["put_object"] = OVERLAPPING * 5
    with pytest.raises(Throttled):
        store.put("lease", b"mine", ABSENT)
    assert s3.objects == {}
    assert bench.calls.throttled == 0, "nobody asked too often"


def test_a_removal_that_overlaps_a_write_is_sent_again(store: Store, s3: FakeS3) -> None:
    tag = store.put("lease", b"mine", None)
    s3.troubles["delete_object"] = [OVERLAPPING[0]]
    store.delete("lease", tag)
    assert store.get("lease") is None


def test_an_object_with_another_tag_is_not_removed(store: Store) -> None:
    before = store.put("lease", b"old", None)
    store.put("lease", b"theirs", None)
    with pytest.raises(Conflict):
        store.delete("lease", before)
    with pytest.raises(Conflict):
        store.delete("lease", ABSENT)


def test_an_object_with_the_expected_tag_is_removed(store: Store) -> None:
    store.delete("lease", store.put("lease", b"mine", None))
    assert store.get("lease") is None


def test_removing_a_missing_object_succeeds_if_no_tag_was_expected(store: Store) -> None:
    store.delete("lease", None)
    store.delete("lease", ABSENT)


def test_all_keys_under_a_prefix_come_in_order(store: Store) -> None:
    for name in ("runs/3", "runs/1", "runs/4", "lease", "runs/2"):
        store.put(name, b"", None)
    assert list(store.keys("runs/")) == ["runs/1", "runs/2", "runs/3", "runs/4"]


def test_keys_after_another_key_can_be_listed(store: Store, s3: FakeS3) -> None:
    for name in ("runs/1", "runs/2", "runs/3"):
        store.put(name, b"", None)
    assert list(store.keys("runs/", "runs/1")) == ["runs/2", "runs/3"]
    assert s3.asked("list_objects_v2")[-1]["StartAfter"] == "updater/web/runs/1"


def test_a_store_without_a_prefix_uses_the_whole_bucket(s3: FakeS3) -> None:
    store = S3Store(Pair.of(cast("Any", s3)), Bench().api, "bucket")
    store.put("lease", b"mine", None)
    assert list(store.keys("")) == ["lease"]


def test_a_write_whose_reply_is_lost_is_not_repeated(store: Store, s3: FakeS3) -> None:
    s3.troubles["put_object"] = [refusal("InternalError", status=500)]
    with pytest.raises(Unreachable):
        store.put("lease", b"mine", ABSENT)
    assert s3.count("put_object") == 1


def test_a_read_that_fails_is_repeated(store: Store, s3: FakeS3) -> None:
    store.put("lease", b"mine", None)
    s3.troubles["get_object"] = [refusal("SlowDown", status=503), refusal("InternalError", status=500)]
    assert store.get("lease") is not None


def test_a_bucket_that_does_not_exist_is_named(store: Store, s3: FakeS3) -> None:
    s3.troubles["get_object"] = [refusal("NoSuchBucket", status=404)]
    with pytest.raises(NotFound, match=r"^the bucket bucket does not exist"):
        store.get("lease")


def test_a_denied_write_names_action_and_object(store: Store, s3: FakeS3) -> None:
    s3.troubles["put_object"] = [refusal("AccessDenied", "Access Denied", 403)]
    with pytest.raises(Denied, match="s3:PutObject on s3://bucket/updater/web/lease"):
        store.put("lease", b"mine", None)
