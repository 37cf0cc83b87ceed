"""Pages of a list, with opaque tokens that stay valid while the list changes."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape


class PageKeys(NamedTuple):
    """How a service names the token and the size of a page."""

    token: str
    size: str


ECS_PAGES = PageKeys("nextToken", "maxResults")
EC2_PAGES = PageKeys("NextToken", "MaxResults")
MAX_RECORDS_PAGES = PageKeys("NextToken", "MaxRecords")
"""The keys of Auto Scaling and CloudWatch."""


class Numbered(Protocol):
    """A record with a number that gives its order in lists."""

    @property
    def number(self) -> int: ...


NumberedT = TypeVar("NumberedT", bound=Numbered)


def list_page(
    records: Iterable[NumberedT],
    request: Shape,
    keys: PageKeys,
    largest: int,
    default: int | None = None,
    wanted: Callable[[NumberedT], bool] = lambda _: True,
) -> tuple[list[NumberedT], Shape]:
    """One page of the requested records, and what the reply says about the next page.

    Records are ordered by number. Raises InvalidParameterException for an unknown token,
    or a page size out of range.
    """
    token, asked = request.get(keys.token), request.get(keys.size)
    size = default or largest if asked is None else asked
    if not 1 <= size <= largest:
        raise AwsError("InvalidParameterException", f"maxResults must be between 1 and {largest}.")
    known = list(records)
    begin = bisect_right(known, _decode(token), key=lambda record: record.number) if token else 0
    found = list(islice(filter(wanted, islice(known, begin, None)), size + 1))
    if len(found) <= size:
        return found, {}
    return found[:size], {keys.token: _encode(found[size - 1].number)}


def _encode(number: int) -> str:
    return base64.urlsafe_b64encode(f"after:{number}".encode()).decode()


def _decode(token: str) -> int:
    try:
        kind, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind == "after":
            return int(number)
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise AwsError("InvalidParameterException", "Invalid token.")
