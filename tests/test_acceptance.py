"""The acceptance run: its words, its page, and one check on the simulated account; CI makes all of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from acceptance.__main__ import main
from acceptance.checks import CHECKS
from acceptance.page import page
from acceptance.result import Result, Verdict


def test_there_are_fifteen_checks_each_with_its_limit() -> None:
    assert [check.number for check in CHECKS] == list(range(1, 16))
    assert all(check.at_most > timedelta(0) for check in CHECKS)


@pytest.mark.parametrize(
    "words",
    [[], ["--region", "eu-central-1"], ["--region", "x", "--subnets", "y", "--image", "updater:1"], ["--clean"]],
)
def test_what_is_missing_is_told_before_anything_is_made(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_the_page_says_what_was_seen_and_of_what() -> None:
    result = Result(CHECKS[3], Verdict.RECORDED, timedelta(seconds=3), "", ("seen | so (request 1)",))
    text = page([result], simulated=True, region="simulated", image="updater@sha256:0")
    assert "1 RECORDED" in text
    assert "seen \\| so (request 1)" in text
    assert "nothing about AWS" in text


def test_a_check_is_made_on_the_simulated_account_and_skips_say_why(tmp_path: Path) -> None:
    written = tmp_path / "verified.md"
    assert main(["--simulated", "--only", "3,8", "--page", str(written)]) == 0
    text = written.read_text()
    assert "1 PASS" in text
    assert "blocking Systems Manager on a host takes its network" in text
