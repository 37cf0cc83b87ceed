"""Batches and pages. One bad item never fails the others in its batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.engine.ports import Gone, Later, Refused
from bottlerocket_ecs_updater.errors import Denied, NotFound, UpdaterError

K = TypeVar("K")
V = TypeVar("V")
Page = TypeVar("Page")

GROUPS_PER_CALL = 50
"""Names in one call of DescribeAutoScalingGroups, so that the reply fits on one page."""


def chunks(items: Sequence[K], size: int) -> Iterator[Sequence[K]]:
    """Split into pieces of at most `size` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


def pages(ask: Callable[[str | None], Page], token_of: Callable[[Page], str | None]) -> Iterator[Page]:
    """Every page; the first is requested with None as its token."""
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


def never(_: Denied) -> Collection[str] | None:
    """For operations whose denials are never about single items."""
    return None


def keep_earlier_results(
    send: Callable[[Sequence[K]], Mapping[K, V]],
    of_single_ones: Callable[[Denied], Collection[str] | None] = never,
) -> Callable[[Sequence[K]], Mapping[K, V | Later]]:
    """Wrap `send`: a denial after an earlier batch may have taken effect becomes `Later` instead of an exception.

    An exception would lose the earlier results: an instance that we drained, or a host that reboots, would look like
    another actor's work. The next attempt sends the rest first, so its denial is raised. A denial about single items is
    always raised, so that `sift` finds those items: that batch took no effect, and `sift` keeps the earlier results.
    """
    acted = False

    def attempt(some: Sequence[K]) -> Mapping[K, V | Later]:
        nonlocal acted
        try:
            results = send(some)
        except (Denied, NotFound) as error:
            if not acted or (isinstance(error, Denied) and of_single_ones(error) is not None):
                raise
            return {one: Later(str(error)) for one in some}
        acted = acted or not all(isinstance(result, Later | Refused | Gone) for result in results.values())
        return results

    return attempt


def sift(
    items: Sequence[K],
    most: int,
    send: Callable[[Sequence[K]], Mapping[K, V]],
    of_single_ones: Callable[[Denied], Collection[str] | None],
) -> dict[K, V | Denied]:
    """Send to all items, at most `most` a call. If a call is denied for single items, leave those out and continue.

    AWS authorizes a call for each item, and denies the whole call if one item is not allowed. An item that the denial
    names is left out at once. If it names none, batches shrink until one item is denied by itself, and grow again
    after each success. This takes one extra call for each denied item that AWS names, a few for each that it does not
    name, and never more than about two calls per item.

    A denied call takes no effect, so every other item is sent exactly once. `of_single_ones` returns the items that a
    denial names, or None if it is not about single items; that denial is raised. `send` must not raise anything else
    after it took effect.
    """
    results: dict[K, V | Denied] = {}
    left, size = list(items), most
    while left:
        group, rest = left[:size], left[size:]
        try:
            results |= send(group)
        except Denied as denial:
            names = of_single_ones(denial)
            if names is None:
                raise
            culprits = [item for item in group if item in names] or (group if len(group) == 1 else [])
            results |= dict.fromkeys(culprits, denial)
            left = [*(item for item in group if item not in results), *rest]
            size = size if culprits else len(group) // 2
        else:
            left, size = rest, min(most, 2 * size)
    return results


def narrow(
    batch: Sequence[K],
    send: Callable[[Sequence[K]], Mapping[K, V]],
    alone: Callable[[K, CallRefused], V],
    suspects: Callable[[CallRefused], Collection[str]] = lambda _: (),
) -> dict[K, V]:
    """Send a batch. If AWS rejects it as a whole, split it until only the rejected items are left out.

    A rejected call takes no effect, so every other item is sent exactly once. `alone` gives the result of an item that
    is rejected by itself. `suspects` returns the items that AWS's error names; they only decide where to split.
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
