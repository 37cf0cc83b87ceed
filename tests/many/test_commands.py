"""`promote`, `block`, `expedite` and the commands that undo them, as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.people import note_act

from bottlerocket_ecs_updater.cli.app import run_program
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY, look_for_acts
from bottlerocket_ecs_updater.report.outputs.index import acts_text

V = Version.parse("1.26.1")
SAID = {"block": "blocked", "promote": "promoted", "expedite": "expedited"}


def typed(state: Path, *words: str) -> int:
    return run_program([*words, "--state", str(state)])


@pytest.mark.parametrize("verb", SAID)
def test_each_act_has_who_when_and_why_and_is_undone_by_its_opposite(verb: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert typed(tmp_path, verb, "1.26.1", "--why", "a reason") == 0
    said = getattr(look_for_acts(store).said, SAID[verb])[V]
    assert said.who
    assert said.why == "a reason"
    assert typed(tmp_path, f"un{verb}", "v1.26.1") == 0
    after = look_for_acts(store)
    assert getattr(after.said, SAID[verb]) == {}
    assert [done.verb for done in after.history] == [verb, f"un{verb}"]


def test_an_act_names_what_it_replaces_and_the_history_keeps_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(tmp_path, "block", "1.26.1", "--why", "first")
    typed(tmp_path, "block", "1.26.1", "--why", "second")
    assert "This replaces an earlier action: " in capsys.readouterr().out
    assert [done.why for done in look_for_acts(FolderStore(tmp_path)).history] == ["first", "second"]


def test_acts_on_versions_stand_in_the_history_of_each_cluster_beside_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, state = FolderStore(tmp_path), "123456789012/eu-west-1/web"
    for words in (("block", "1.26.1", "--why", "it breaks"), ("unblock", "1.26.1"), ("promote", "1.26.2", "--to", "a")):
        typed(tmp_path, *words)
    own = AuditEntry(datetime(2020, 1, 1, tzinfo=UTC), "ann", "pause", "", "a holiday", "paused the updates")
    note_act(store, state, own)
    trail = look_for_acts(store).about(state)
    assert [act.command for act in trail] == ["pause", "block 1.26.1", "unblock 1.26.1", "promote 1.26.2"]
    assert [act.command for act in look_for_acts(store).about(state, own.at + timedelta(days=1))] == [
        "block 1.26.1",
        "unblock 1.26.1",
        "promote 1.26.2",
    ]
    text = acts_text(trail)
    assert ": it breaks\n                  blocked 1.26.1 for all clusters of the state store\n" in text
    assert "  promoted 1.26.2 to stage a\n" in text
    typed(tmp_path, "promote", "1.26.2", "--why", "again")
    assert "replacing an earlier one to stage a by " in look_for_acts(store).about(state)[-1].done


def test_undoing_something_that_was_not_done_says_so_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(tmp_path, "unblock", "1.26.1")
    assert "nothing was changed" in capsys.readouterr().out
    assert look_for_acts(FolderStore(tmp_path)).history == ()


def test_expedite_takes_windows_and_freezes_by_choice(tmp_path: Path) -> None:
    typed(tmp_path, "expedite", "1.26.1", "--ignore-windows")
    said = look_for_acts(FolderStore(tmp_path)).said.expedited[V]
    assert (said.windows, said.freezes) == (True, False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("block", "latest"), 2),
        (("block",), 2),
        (("promote", "1.26.1", "--to", "two words"), 2),
        (("block", "1.26.1", "--why", "two\nlines"), 2),
    ],
)
def test_an_invalid_command_is_refused_and_writes_no_act(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    assert typed(tmp_path, *words) == code
    assert look_for_acts(FolderStore(tmp_path)).history == ()


def test_acts_that_cannot_be_read_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(tmp_path)
    store.put(ACTS_KEY, b"{", None)
    assert typed(tmp_path, "block", "1.26.1") == 1
    assert "every version is blocked until" in capsys.readouterr().err.lower()
    stored = store.get(ACTS_KEY)
    assert stored is not None
    assert stored.data == b"{"


def test_a_store_without_clusters_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(tmp_path, "fleet", "status") == 0
    assert capsys.readouterr().out == "No cluster has reported\n"
    typed(tmp_path, "block", "1.26.1", "--why", "it breaks")
    capsys.readouterr()
    assert typed(tmp_path, "fleet", "status") == 0
    assert capsys.readouterr().out.startswith("No cluster has reported\n\nblocked 1.26.1 by ")
