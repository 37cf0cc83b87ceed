"""Groups instances with the same text, so that three hundred of them take a few lines."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from bottlerocket_ecs_updater.report.words.sanitize import sanitize

ON_A_LINE = 4
"""Instance ids on a line: as many as fit into 90 columns."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Group values by key, in the order of their first occurrence."""
    found: dict[K, list[T]] = {}
    for value in values:
        found.setdefault(key(value), []).append(value)
    return found


def id_lines(ids: Sequence[str], indent: str, title: str = "") -> Iterator[str]:
    """All ids, several on each line, after a title on the first line."""
    lead = f"{title}  " if title else ""
    for at in range(0, len(ids), ON_A_LINE):
        head = lead if at == 0 else " " * len(lead)
        yield f"{indent}{head}{'  '.join(map(sanitize, ids[at : at + ON_A_LINE]))}"
