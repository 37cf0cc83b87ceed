"""Batches and pages: many at a time, and one bad one never costs the others their turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.engine.ports import Gone, Later, Refused
from bottlerocket_ecs_updater.errors import Denied, NotFound, UpdaterError

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


def never(_: Denied) -> Collection[str] | None:
    """Stand where no denial is one of single items."""
    return None


def told_before_denied(
    send: Callable[[Sequence[K]], Mapping[K, V]],
    of_single_ones: Callable[[Denied], Collection[str] | None] = never,
) -> Callable[[Sequence[K]], Mapping[K, V | Later]]:
    """The same calls; but once one of them may have taken effect, what is denied after it is `Later`.

    An error would lose what was done: an instance that we drained, or a host that reboots, would go by another's deed.
    The rest is asked for again; nothing is done before it then, and the denial is raised. What is denied for single
    items is raised all the same, for `sift` to find them: its batch took no effect, and what others did is kept there.
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
    """Send to all, at most so many a call; where a call is denied for single items, leave those out and go on.

    AWS authorises a call for each of its items, and denies it as a whole where one of them is not allowed. An item that
    the denial names is left out at once. Where it names none, batches get smaller until one item is denied by itself,
    and larger again with each that is taken: that is one call for each item that is not allowed where AWS names it,
    some for each where it does not, and never more than about two for each of all items.

    A denied call takes no effect, so everybody else is sent to exactly once. `of_single_ones` gives the names in a
    denial, None for one that is of no single item, which is raised. `send` must raise nothing else once it took effect.
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
