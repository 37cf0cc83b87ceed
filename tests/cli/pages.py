"""Writes the tables in the documentation that are generated from the program (`make docs`)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cyclopts.argument import Argument
from rich.console import Console
from tests.cli.event_table import event_rows, word_rows

from bottlerocket_ecs_updater.cli.app import COMMANDS, build_app
from bottlerocket_ecs_updater.cli.help_pages import COLUMNS, PAGES, page_of
from bottlerocket_ecs_updater.cli.settings.parameters import Reading
from bottlerocket_ecs_updater.cli.settings.parsing import arguments_of
from bottlerocket_ecs_updater.cli.settings.settings import RunSettings
from bottlerocket_ecs_updater.core.model.passing import passing
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason

OPERATE = Path(__file__).parents[2] / "docs" / "operate"


def settings_in_order() -> list[Argument]:
    """Every setting that operators may set."""
    return [argument for argument in arguments_of(RunSettings) if not argument.children and argument.show]


def settings() -> str:
    """Every setting: its name, its default, the allowed values, and what it means."""
    return _table("setting | default | allowed | meaning", [_setting_row(each) for each in settings_in_order()])


def holds() -> str:
    """Every reason to hold an instance, and what to do about it."""
    rows = [(*_reason_row(each), passing(each).value) for each in Reason]
    return _table("hold | what it says | what to do | does it pass", rows)


def failures() -> str:
    """Every way in which an update fails, and what a person can do."""
    return _table("failure | what it says | what to do", [_reason_row(each) for each in Failure])


def events() -> str:
    """Every event of the record of a run, with its fields."""
    return _table("event | what it says | fields", event_rows())


def words() -> str:
    """Fields whose values come from a fixed list."""
    return _table("form | one of", word_rows())


def phases() -> str:
    """Every phase of an update: how it is recognized, what is done in it, and what ends it."""
    rows = [(f"`{each.name}`", each.seen, each.action, each.ends) for each in Phase]
    return _table("phase | recognized by | what the updater does | it ends when", rows)


TABLES: dict[Path, tuple[Callable[[], str], ...]] = {
    OPERATE / "settings.md": (settings,),
    OPERATE / "reasons.md": (holds, failures),
    OPERATE.with_name("develop") / "events.md": (words, events),
    OPERATE.with_name("develop") / "architecture.md": (phases,),
}
"""The tables of each page. Each is between two comments that name it."""


def rewritten(page: Path) -> str:
    """The page, with its tables regenerated from the definitions."""
    text = page.read_text(encoding="utf-8")
    for table in TABLES[page]:
        begin, end = (f"<!-- {table.__name__}, from the program: {word} -->\n" for word in ("begin", "end"))
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = head + begin + table() + end + tail
    return text


def _table(head: str, rows: Sequence[tuple[str, ...]]) -> str:
    rule = "|".join("---" for _ in head.split("|"))
    lines = [f"| {head} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _setting_row(argument: Argument) -> tuple[str, ...]:
    parameter = argument.parameter
    reading = parameter.converter
    allowed = reading.allowed if isinstance(reading, Reading) else "true or false"
    return f"`{argument.name.lstrip('-')}`", _default(argument), allowed.replace("|", "\\|"), parameter.help or ""


def _default(argument: Argument) -> str:
    if argument.required:
        return "*required*"
    default = argument.field_info.default
    if default in (None, False):
        return ""
    show = argument.show_default
    shown = show(default) if callable(show) else default
    return "" if shown is None else f"`{shown}`"


def _reason_row(reason: Reason | Failure) -> tuple[str, ...]:
    return f"`{reason.code}`", _blanks(reason.value.sentence), _blanks(reason.value.remedy)


def _blanks(sentence: str) -> str:
    """A sentence with its placeholders in italics."""
    return re.sub(r"\{(\w+)\}", r"*\1*", sentence)


def help_page(command: str) -> str:
    """The help of a command, or of the program, as printed into a pipe."""
    out = io.StringIO()
    console = Console(file=out, width=COLUMNS, force_terminal=False, color_system=None)
    build_app({}).help_print([command] if command else [], console=console)
    return out.getvalue()


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for name in ("", *COMMANDS):
        page_of(name).write_text(help_page(name), encoding="utf-8")
    for each in TABLES:
        each.write_text(rewritten(each), encoding="utf-8")
