"""Several rules in one text, as tests write them."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint
from bottlerocket_ecs_updater.core.rules.tasks import TaskRule
from bottlerocket_ecs_updater.core.rules.versions import VersionRange
from bottlerocket_ecs_updater.core.rules.windows import Freeze, Window


def parse_windows(text: str) -> tuple[Window, ...]:
    """Read several windows, with `;` between them."""
    return tuple(Window.parse(part) for part in text.split(";") if part.strip())


def parse_freezes(text: str) -> tuple[Freeze, ...]:
    """Read several freezes, with `;` between them."""
    return tuple(Freeze.parse(part) for part in text.split(";") if part.strip())


def parse_ranges(text: str) -> tuple[VersionRange, ...]:
    """Read several ranges, with `;` between them."""
    return tuple(VersionRange.parse(part) for part in text.split(";") if part.strip())


def parse_task_rules(text: str) -> tuple[TaskRule, ...]:
    """Read several rules, with `;` between them."""
    return tuple(TaskRule.parse(part) for part in text.split(";") if part.strip())


def parse_checkpoints(text: str) -> tuple[Checkpoint, ...]:
    """Read `1, 10%, 50%, 100%`."""
    return tuple(Checkpoint.parse(part) for part in text.split(",") if part.strip())
