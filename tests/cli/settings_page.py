"""The table of settings in the documentation, from their one definition.

`python -m tests.cli.settings_page` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

from cyclopts.argument import Argument

from bottlerocket_ecs_updater.cli.kinds import Reading
from bottlerocket_ecs_updater.cli.parsing import arguments_of
from bottlerocket_ecs_updater.cli.settings import RunSettings

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "settings.md"
BEGIN = "<!-- from the definition: begin -->\n"
END = "<!-- from the definition: end -->\n"


def settings_in_order() -> list[Argument]:
    """Every setting that operators may set."""
    return [argument for argument in arguments_of(RunSettings) if not argument.children and argument.show]


def table() -> str:
    """The table, as Markdown."""
    rows = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    rows += [_row(argument) for argument in settings_in_order()]
    return "\n".join(rows) + "\n"


def page_with_table() -> str:
    """The page as it stands, its table as the definition says."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + table() + END + tail


def _row(argument: Argument) -> str:
    parameter = argument.parameter
    reading = parameter.converter
    allowed = reading.allowed if isinstance(reading, Reading) else "true or false"
    name = argument.name.lstrip("-")
    cells = (f"`{name}`", _default(argument), allowed.replace("|", "\\|"), parameter.help or "")
    return f"| {' | '.join(cells)} |"


def _default(argument: Argument) -> str:
    if argument.required:
        return "*required*"
    default = argument.field_info.default
    if default in (None, False):
        return ""
    show = argument.show_default
    return f"`{show(default) if callable(show) else default}`"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), encoding="utf-8")
