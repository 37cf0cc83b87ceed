"""Batches and pages: many at a time, and one bad one never costs the others their turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from bottlerocket_ecs_updater.aws.errors import CallRefused
from bottlerocket_ecs_updater.core.errors import UpdaterError

K = TypeVar("K")
V = TypeVar("V")
Page = TypeVar("Page")


def chunks(items: Sequence[K], size: int) -> Iterator[Sequence[K]]:
    """Cut into pieces of at most that size."""
    return (items[start : start + size] for start in range(0, len(items), size))


def pages(ask: Callable[[str | None], Page], token_of: Callable[[Page], str | None]) -> Iterator[Page]:
    """Every page, the first one asked for with None."""
    token: str | None = None
    while True:
        page = ask(token)
        yield page
        following = token_of(page)
        if not following:
            return
        if following == token:
            raise UpdaterError("AWS gave the same page token twice, so the list would have no end")
        token = following


def narrow(
    batch: Sequence[K],
    send: Callable[[Sequence[K]], Mapping[K, V]],
    alone: Callable[[K, CallRefused], V],
    suspects: Callable[[CallRefused], Collection[str]] = lambda _: (),
) -> dict[K, V]:
    """Send a batch; while AWS refuses it as a whole, send its parts, until only the culprits are left out.

    A refused call takes no effect, so whoever is not a culprit is sent to exactly once. `alone` says what becomes of
    one that is refused by itself. `suspects` are the names in AWS's refusal: they only say where to cut.
    """
    try:
        return dict(send(batch))
    except CallRefused as refusal:
        if len(batch) == 1:
            return {batch[0]: alone(batch[0], refusal)}
        named = suspects(refusal)
    first, second = _cut(batch, named)
    return narrow(first, send, alone, suspects) | narrow(second, send, alone, suspects)


def _cut(batch: Sequence[K], named: Collection[str]) -> tuple[Sequence[K], Sequence[K]]:
    suspected = [item for item in batch if item in named]
    if suspected and len(suspected) < len(batch):
        return [item for item in batch if item not in named], suspected
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
