"""Every reason is a complete sentence with the facts that the code gives it, wherever it is used."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import bottlerocket_ecs_updater
from bottlerocket_ecs_updater.core.model.reasons import Failure, Hold, Reason, failed, hold

SOURCE = Path(bottlerocket_ecs_updater.__file__).parent
EVERY = [*Reason, *Failure]
MAKES = re.compile(r"\b(hold|failed)\(")


def given() -> Iterator[tuple[str, Reason | Failure, frozenset[str]]]:
    """Each call in the source that makes a hold or a failure: its place, its reason and the facts that it gives."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        # Each worker collects all tests, so files that cannot contain such a call are not parsed.
        for call in ast.walk(ast.parse(text if MAKES.search(text) else "")):
            match call:
                case ast.Call(
                    func=ast.Name(id="hold" | "failed"),
                    args=[ast.Attribute(value=ast.Name(id="Reason" | "Failure" as kind), attr=name)],
                    keywords=keywords,
                ):
                    reason = Reason[name] if kind == "Reason" else Failure[name]
                    facts = frozenset(keyword.arg for keyword in keywords if keyword.arg is not None)
                    yield f"{path.relative_to(SOURCE)}:{call.lineno}", reason, facts
                case _:
                    pass


GIVEN = list(given())


def blanks(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize(("where", "reason", "facts"), GIVEN, ids=[where for where, _, _ in GIVEN])
def test_every_blank_of_a_reason_is_filled(where: str, reason: Reason | Failure, facts: frozenset[str]) -> None:
    assert blanks(reason.value.sentence) | blanks(reason.value.remedy) <= facts


@pytest.mark.parametrize(("where", "reason", "facts"), GIVEN, ids=[where for where, _, _ in GIVEN])
def test_a_reason_is_written_out_with_its_facts(where: str, reason: Reason | Failure, facts: frozenset[str]) -> None:
    values = {fact: f"<{fact}>" for fact in facts}
    why = hold(reason, **values) if isinstance(reason, Reason) else failed(reason, **values)
    assert "{" not in str(why) + why.remedy


def test_the_source_was_found() -> None:
    assert len(GIVEN) > 40


@pytest.mark.parametrize("reason", EVERY, ids=lambda reason: reason.code)
def test_a_reason_is_a_clause_that_follows_a_name_and_a_colon(reason: Reason | Failure) -> None:
    for text in (reason.value.sentence, reason.value.remedy):
        assert text
        assert not text.endswith(".")
        assert text[0].islower() or text[0] in "`{" or text.split()[0] in {"AWS", "ECS", "Systems"}


def test_codes_are_unique() -> None:
    assert len({reason.code for reason in EVERY}) == len(EVERY)


@pytest.mark.parametrize("reason", EVERY, ids=lambda reason: reason.name)
def test_a_code_is_its_name_in_lower_case(reason: Reason | Failure) -> None:
    assert reason.code == reason.name.lower().replace("_", "-")


def test_facts_keep_their_names_and_become_text() -> None:
    assert hold(Reason.BUDGET, unavailable=1, limit=2, who="i-a") == Hold(
        Reason.BUDGET, (("unavailable", "1"), ("limit", "2"), ("who", "i-a"))
    )


def test_braces_in_a_hosts_own_words_are_only_words() -> None:
    assert str(hold(Reason.CHECK_FAILED, detail="{0} {why} {")).endswith("{0} {why} {")
