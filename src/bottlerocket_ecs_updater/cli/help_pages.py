"""The prewritten help of each command.

Printing it imports nothing that a command needs, so it is fast. `make docs` writes the pages from the definitions, and
a test fails if one is out of date. They are what cyclopts prints into a pipe. For a narrower terminal, the help is
generated when it is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

PAGES = Path(__file__).parent / "help"
COLUMNS = 80
"""The width of the pages, in columns."""

ASKED = frozenset({"--help", "-h"})
PROGRAM_PAGE = "program"


def page_of(command: str) -> Path:
    """The path of a command's help page; an empty name is the program itself."""
    return PAGES / f"{command or PROGRAM_PAGE}.txt"


def written_help(tokens: Sequence[str], commands: Sequence[str]) -> str | None:
    """The page for these arguments. None if they do not ask for help, or if the page would not fit."""
    asks = not tokens or tokens[-1] in ASKED
    before = tokens[:-1]
    if not asks or len(before) > 1 or not set(before) <= set(commands):
        return None
    if shutil.get_terminal_size((COLUMNS, 24)).columns < COLUMNS:
        return None
    page = page_of(before[0] if before else "")
    return page.read_text(encoding="utf-8") if page.is_file() else None
