"""The help of each command as it was written beforehand: printing it imports nothing that a command works with.

`make docs` writes the pages from the definitions, and a test fails where one is out of date. They are what cyclopts
prints into a pipe. A terminal that is narrower gets help that fits, made when it is asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

PAGES = Path(__file__).parent / "help"
COLUMNS = 80
"""How wide the pages are."""

ASKED = frozenset({"--help", "-h"})
PROGRAM_PAGE = "program"


def page_of(command: str) -> Path:
    """Where the help of a command lies; of the program as a whole where the name is empty."""
    return PAGES / f"{command or PROGRAM_PAGE}.txt"


def written_help(tokens: Sequence[str], commands: Sequence[str]) -> str | None:
    """The page that these words ask for; None where they ask for something else, or where it would not fit."""
    asks = not tokens or tokens[-1] in ASKED
    before = tokens[:-1]
    if not asks or len(before) > 1 or not set(before) <= set(commands):
        return None
    if shutil.get_terminal_size((COLUMNS, 24)).columns < COLUMNS:
        return None
    page = page_of(before[0] if before else "")
    return page.read_text(encoding="utf-8") if page.is_file() else None
