"""What every state store must do, tested on each that works without AWS."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.store import folder_store as folder
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore, _faults
from bottlerocket_ecs_updater.errors import Denied, Unreachable, UsageError

KEY = "clusters/web/ledger.json"


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()


def test_an_object_that_was_never_written_is_none(store: Store) -> None:
    assert store.get(KEY) is None


def test_a_written_object_is_read_with_the_tag_of_the_write(store: Store) -> None:
    tag = store.put(KEY, b"one", ABSENT)
    assert store.get(KEY) == Stored(b"one", tag)


def test_a_write_that_expects_no_object_is_refused_where_there_is_one(store: Store) -> None:
    store.put(KEY, b"one", ABSENT)
    with pytest.raises(Conflict):
        store.put(KEY, b"two", ABSENT)
    assert store.get(KEY) is not None


def test_a_write_with_an_old_tag_is_refused_and_changes_nothing(store: Store) -> None:
    old = store.put(KEY, b"one", ABSENT)
    store.put(KEY, b"two", old)
    with pytest.raises(Conflict):
        store.put(KEY, b"three", old)
    stored = store.get(KEY)
    assert stored is not None
    assert stored.data == b"two"


def test_a_write_with_a_tag_is_refused_where_the_object_is_gone(store: Store) -> None:
    tag = store.put(KEY, b"one", ABSENT)
    store.delete(KEY, tag)
    with pytest.raises(Conflict):
        store.put(KEY, b"two", tag)


def test_a_write_without_a_condition_always_takes_effect(store: Store) -> None:
    store.put(KEY, b"one", None)
    store.put(KEY, b"two", None)
    stored = store.get(KEY)
    assert stored is not None
    assert stored.data == b"two"


def test_content_that_came_back_to_what_it_was_has_another_tag(store: Store) -> None:
    first = store.put(KEY, b"one", ABSENT)
    second = store.put(KEY, b"two", first)
    assert store.put(KEY, b"one", second) != first


def test_an_object_that_was_removed_and_written_again_has_another_tag(store: Store) -> None:
    first = store.put(KEY, b"one", ABSENT)
    store.delete(KEY, first)
    assert store.put(KEY, b"one", ABSENT) != first


def test_a_removal_with_an_old_tag_is_refused(store: Store) -> None:
    old = store.put(KEY, b"one", ABSENT)
    store.put(KEY, b"two", old)
    with pytest.raises(Conflict):
        store.delete(KEY, old)
    assert store.get(KEY) is not None


def test_removing_a_missing_object_is_no_error(store: Store) -> None:
    store.delete(KEY, None)
    assert store.get(KEY) is None


def test_keys_are_listed_in_order_by_the_start_of_their_names(store: Store) -> None:
    for key in ("runs/web/2/a", "runs/web/10/a", "runs/web-2/1/a", "clusters/web/lease.json"):
        store.put(key, b"", ABSENT)
    assert list(store.keys("runs/web/")) == ["runs/web/10/a", "runs/web/2/a"]
    assert list(store.keys("runs/web")) == ["runs/web-2/1/a", "runs/web/10/a", "runs/web/2/a"]


def test_keys_after_one_are_listed_without_it(store: Store) -> None:
    for key in ("runs/web/1/a", "runs/web/2/a", "runs/web/3/a"):
        store.put(key, b"", ABSENT)
    assert list(store.keys("runs/web/", "runs/web/1/a")) == ["runs/web/2/a", "runs/web/3/a"]
    assert list(store.keys("runs/web/", "runs/web/2")) == ["runs/web/2/a", "runs/web/3/a"]


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.keys("runs/")) == []
    assert list(store.keys("")) == []


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "delete"]),
            st.sampled_from(["a/x", "a/y", "b"]),
            st.sampled_from([b"", b"1", b"2"]),
            st.sampled_from(["as read", "none", "any", "the first ever seen"]),
        ),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_the_folder_store_behaves_like_the_memory_store(
    steps: list[tuple[str, str, bytes, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Step by step: the same rejections, the same content, the same keys."""
    stores: tuple[Store, Store] = (FolderStore(tmp_path_factory.mktemp("store")), MemoryStore())
    seen: list[dict[str, str]] = [{}, {}]
    for act, key, data, condition in steps:
        ends = []
        for store, first_tags in zip(stores, seen, strict=True):
            stored = store.get(key)
            if stored is not None:
                first_tags.setdefault(key, stored.tag)
            tag = {"as read": stored.tag if stored else ABSENT, "none": ABSENT, "any": None}.get(
                condition, first_tags.get(key, "never")
            )
            ends.append(_end_of(store, act, key, data, tag))
        assert ends[0] == ends[1]
    assert list(stores[0].keys("")) == list(stores[1].keys(""))


def _end_of(store: Store, act: str, key: str, data: bytes, tag: str | None) -> object:
    try:
        if act == "put":
            store.put(key, data, tag)
        else:
            store.delete(key, tag)
    except Conflict:
        return "conflict"
    stored = store.get(key)
    return stored.data if stored is not None else None


# Only the folder


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b", "a//b", ".lock", ".counts/a", "a/.new", "a\0b", "a/"])
def test_a_key_that_could_leave_the_folder_or_meet_its_own_files_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        FolderStore(tmp_path).put(key, b"", None)


def test_reading_makes_nothing_in_the_folder(tmp_path: Path) -> None:
    FolderStore(tmp_path / "store").get(KEY)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_a_person_edited_is_noticed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    tag = store.put(KEY, b"one", ABSENT)
    (tmp_path / KEY).write_bytes(b"edited")
    with pytest.raises(Conflict):
        store.put(KEY, b"two", tag)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_writer_that_dies_on_the_way_never_leaves_other_content_under_the_same_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    store = FolderStore(tmp_path)
    tag = store.put(KEY, b"one", ABSENT)
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(os, "fsync", _dying_at(call))
        store.put(KEY, b"two", tag)
    stored = store.get(KEY)
    assert stored is not None
    assert stored.data in (b"one", b"two")
    assert stored.data == b"one" or stored.tag != tag
    store.put(KEY, b"three", stored.tag)


def _dying_at(call: int) -> Callable[[int], None]:
    calls = iter(range(1, 100))

    def fsync(_: int) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt

    return fsync


@pytest.mark.parametrize("count", [b"", b"x", b"-1", b"1.5", b"\xff", b"9" * 5000, b"\xef\xbc\x91"])
def test_an_unreadable_count_means_unknown_content(tmp_path: Path, count: bytes) -> None:
    store = FolderStore(tmp_path)
    tags = [store.put(KEY, data, None) for data in (b"one", b"two", b"one", b"two")]
    (tmp_path / ".counts" / KEY).write_bytes(count)
    stored = store.get(KEY)
    assert stored is not None
    assert stored.data == b"two"
    with pytest.raises(Conflict):
        store.put(KEY, b"stale", tags[-1])
    after = store.put(KEY, b"one", stored.tag)
    last = store.put(KEY, b"two", after)
    assert len({*tags, stored.tag, after, last}) == len(tags) + 3
    store.delete(KEY, last)


def test_files_that_a_system_leaves_in_folders_are_no_objects(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("runs/web/1/a", b"", None)
    for name in ("runs/web/.DS_Store", "runs/web/.trash/a", "runs/web/1/.a.swp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(store.keys("runs/")) == ["runs/web/1/a"]


def test_a_folder_below_a_file_is_refused_with_that_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    store = FolderStore(file / "state")
    for act in (lambda: store.get("pause.json"), lambda: store.put("pause.json", b"{}", None), store.check_writable):
        with pytest.raises(UsageError, match=rf": {file} is not a folder; choose another --state$"):
            act()


@pytest.mark.parametrize("own", [".lock", ".new", ".counts"])
def test_a_folder_whose_own_files_are_something_else_is_refused_with_the_place(tmp_path: Path, own: str) -> None:
    store = FolderStore(tmp_path)
    if own == ".counts":
        (tmp_path / own).write_text("a file")
    else:
        (tmp_path / own).mkdir()
    with contextlib.suppress(UsageError):
        store.put(KEY, b"one", None)
    with pytest.raises(UsageError, match=own):
        store.put(KEY, b"two", None)


def test_a_folder_where_a_file_is_in_the_way_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "clusters").write_text("a file")
    with pytest.raises(UsageError, match=r"clusters.*choose another --state"):
        FolderStore(tmp_path).put(KEY, b"", ABSENT)


@pytest.mark.parametrize("place", ["a-file", "a-file/state", "/proc/state", "/dev/null/state", "x" * 300])
def test_a_place_where_no_folder_can_be_is_refused_before_anything_waits_for_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "a-file").write_text("a file")
    with pytest.raises(UsageError, match="choose another --state"):
        FolderStore(tmp_path / place).check_writable()


def test_a_full_disk_is_no_reason_to_give_another_place(tmp_path: Path) -> None:
    with pytest.raises(Unreachable), _faults("write", tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_denied(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Denied, match=str(tmp_path)):
        FolderStore(tmp_path).put(KEY, b"", ABSENT)


ADDER = """
import sys
from pathlib import Path
from bottlerocket_ecs_updater.engine.store import folder_store as folder
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict
store, added = FolderStore(Path(sys.argv[1])), 0
while added < 40:
    seen = store.get("sum")
    total = int(seen.data) if seen else 0
    try:
        store.put("sum", str(total + 1).encode(), seen.tag if seen else ABSENT)
    except Conflict:
        continue
    added += 1
"""


def test_processes_that_add_at_the_same_time_lose_no_addition(tmp_path: Path) -> None:
    adders = [subprocess.Popen([sys.executable, "-c", ADDER, str(tmp_path)]) for _ in range(3)]
    assert [adder.wait(150) for adder in adders] == [0, 0, 0]
    stored = FolderStore(tmp_path).get("sum")
    assert stored is not None
    assert stored.data == b"120"


KILLED = """
import sys
from pathlib import Path
from bottlerocket_ecs_updater.engine.store import folder_store as folder
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
store, n = FolderStore(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    n += 1
    store.put("object", str(n).encode() * 5000, None)
"""


def test_a_writer_that_is_killed_leaves_whole_objects_and_no_lock(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while store.get("object") is None:
                pass
            writer.kill()
        stored = store.get("object")
        assert stored is not None
        text = stored.data.decode()
        assert text == text[: len(text) // 5000] * 5000
        store.put("object", stored.data, stored.tag)


def test_a_wait_for_a_lock_that_is_never_released_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LOCK_SECONDS", 0.1)
    store = FolderStore(tmp_path)
    store.put(KEY, b"1", None)
    with (tmp_path / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unreachable, match="another process has held its lock"):
            store.put(KEY, b"2", None)
        assert store.get(KEY) is not None
    store.put(KEY, b"3", None)
