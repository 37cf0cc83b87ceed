"""Pages of a list, and the tokens that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import Numbered, NumberedT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def newest_first(
    items: Sequence[NumberedT], token: str | None, size: int, wanted: Callable[[NumberedT], bool]
) -> tuple[list[NumberedT], str | None]:
    """A page of matching records, from the end of a list ordered by number."""
    place = len(items)
    if token is not None:
        place = bisect_left(items, _number(token), key=lambda item: item.number)
    page: list[NumberedT] = []
    while place > 0:
        place -= 1
        if wanted(items[place]):
            if len(page) == size:
                return page, _token(page[-1])
            page.append(items[place])
    return page, None


def oldest_first(
    items: Sequence[NumberedT], token: str | None, size: int, wanted: Callable[[NumberedT], bool]
) -> tuple[list[NumberedT], str | None]:
    """A page of matching records, from the start of a list ordered by number."""
    place = 0
    if token is not None:
        place = bisect_right(items, _number(token), key=lambda item: item.number)
    page: list[NumberedT] = []
    for item in items[place:]:
        if wanted(item):
            if len(page) == size:
                return page, _token(page[-1])
            page.append(item)
    return page, None


def _token(last: Numbered) -> str:
    """A token for the records after `last`, so that new records neither shift nor repeat others."""
    return base64.urlsafe_b64encode(f"after:{last.number}".encode()).decode()


def _number(token: str) -> int:
    try:
        word, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (ValueError, binascii.Error) as error:
        raise AwsError("InvalidNextToken", "The specified token isn't valid.") from error
    if word != "after" or not number.isdecimal():
        raise AwsError("InvalidNextToken", "The specified token isn't valid.")
    return int(number)
