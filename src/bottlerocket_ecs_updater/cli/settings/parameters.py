"""The types of settings: how text becomes a value, and what is allowed.

Each function makes the `Parameter` of one setting. Text that is not allowed raises ValueError, with the reason and what
is allowed. `parsing` adds the name of the setting and the source of the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from cyclopts import Parameter, Token

from bottlerocket_ecs_updater.core.model.time_text import DAY, duration_text, parse_duration
from bottlerocket_ecs_updater.core.rules.policy import Limit

_MOST = 1_000_000
"""The largest whole number, unless a setting says otherwise."""

MILLISECOND = timedelta(milliseconds=1)
"""The shortest allowed duration. It is this short because simulated worlds run at a hundred times real speed."""


@dataclass(frozen=True, slots=True)
class StoreBucket:
    """A prefix of an S3 bucket; the prefix is empty or ends with a slash."""

    name: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


Place = StoreBucket | Folder
"""Where the state store is."""

ValueReader = Callable[[str], Any]

# Bucket names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_FOLDER_BEGINS = ("/", "./", "../", "~")
_SAFE_KEY = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,512}")


_EMPTY = "that is empty, so it would hold nothing: remove the setting instead"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of a setting is read, and a description of what is allowed. cyclopts calls it."""

    read: ValueReader
    allowed: str
    separator: str = ""
    """The separator, if there may be several values. Then all texts count; otherwise only the last one."""

    def __call__(self, _hint: object, tokens: Sequence[Token]) -> object:
        """Convert the text. Raises ValueError with what is wrong and what is allowed."""
        try:
            if self.separator:
                texts = [text.strip() for token in tokens for text in token.value.split(self.separator)]
                _see_that_none_is_empty(texts, self.separator)
                return tuple(self.read(text) for text in texts)
            return self.read(tokens[-1].value)
        except ValueError as error:
            raise ValueError(f"{error}; it must be {self.allowed}") from error


def _see_that_none_is_empty(texts: Sequence[str], separator: str) -> None:
    """Raise ValueError for an empty value, which is usually an unset shell variable."""
    if "" in texts:
        raise ValueError(_EMPTY if len(texts) == 1 else f"one of the values between {separator!r} is empty")


def _read_duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        # The value is named before, and what is expected after it.
        raise ValueError("that is not a duration" if str(error).startswith("not a") else str(error)) from None


def duration(
    meaning: str, least: timedelta = MILLISECOND, most: timedelta = 30 * DAY, why_least: str = ""
) -> Parameter:
    """A duration between two bounds. The error for a value below the lower bound includes `why_least`."""

    def read(text: str) -> timedelta:
        span = _read_duration(text)
        if not least <= span <= most:
            short = f"short: {why_least}" if why_least else "short"
            raise ValueError(f"that is too {short if span < least else 'long'}")
        return span

    span = f"from {duration_text(least)} to {duration_text(most)}"
    *some, last = [text for text in ("300ms", "30s", "25m", "1h30m") if least <= parse_duration(text) <= most]
    examples = f"{', '.join(some)} or {last}" if some else last
    return _setting(meaning, read, f"a duration {span}, such as {examples}", "DURATION", duration_text)


def _whole_number(text: str, otherwise: str) -> int:
    """Read a number, which need not be in range. Raises ValueError with `otherwise`, if the text is none."""
    if not re.fullmatch(r"-?[0-9]+", text):
        raise ValueError(otherwise)
    return int(text)


def limit(meaning: str) -> Parameter:
    """A number of instances, or a percentage of them."""

    def read(text: str) -> Limit:
        percent = text.endswith("%")
        number = _whole_number(text.removesuffix("%"), "that is neither a whole number nor a percentage")
        if not 1 <= number <= (100 if percent else _MOST):
            raise ValueError("that is out of range")
        return Limit(percent=number) if percent else Limit(number=number)

    allowed = f"a whole number from 1 to {_MOST}, or a percentage from 1% to 100%"
    return _setting(meaning, read, allowed, "NUMBER|PERCENT")


def integer(meaning: str, least: int = 1, most: int = _MOST) -> Parameter:
    """A whole number between two bounds."""

    def read(text: str) -> int:
        number = _whole_number(text, "that is not a whole number")
        if not least <= number <= most:
            raise ValueError("that is out of range")
        return number

    return _setting(meaning, read, f"a whole number from {least} to {most}", "NUMBER")


def factor(meaning: str, most: float = 100_000.0, *, show: bool = True) -> Parameter:
    """A positive factor."""

    def read(text: str) -> float:
        try:
            number = float(text if text.isascii() else "")
        except ValueError:
            raise ValueError("that is not a number") from None
        if not math.isfinite(number) or not 0 < number <= most:
            raise ValueError("that is out of range")
        return number

    return _setting(meaning, read, f"a number above 0, up to {most:.0f}", "FACTOR", show=show)


def instant(meaning: str) -> Parameter:
    """A time with its offset from UTC. Not shown in the help."""

    def read(text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("that has no offset from UTC")
        return moment

    return _setting(meaning, read, "a moment such as 2026-03-29T01:30:00+00:00", "MOMENT", show=False)


def choice(meaning: str, *choices: str, name: str | None = None) -> Parameter:
    """One of a few words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError("that is not one of the choices")
        return text

    return _setting(meaning, read, f"one of {', '.join(choices)}", "WORD", name=name)


def choice_of(meaning: str, words: type[Enum]) -> Parameter:
    """One of the words of an enumeration in core."""

    def read(text: str) -> Enum:
        try:
            return words(text)
        except ValueError:
            raise ValueError("that is not one of the choices") from None

    return _setting(meaning, read, f"one of {', '.join(word.value for word in words)}", "WORD", lambda one: one.value)


def text(meaning: str, pattern: str, allowed: str, metavar: str) -> Parameter:
    """A text of a certain form."""
    form = re.compile(pattern)

    def read(given: str) -> str:
        if not form.fullmatch(given):
            raise ValueError("that is empty" if not given else "that has the wrong format")
        return given

    return _setting(meaning, read, allowed, metavar)


def parsed(meaning: str, read: ValueReader, allowed: str, metavar: str) -> Parameter:
    """A value from `core` with its own text form."""
    return _setting(meaning, read, allowed, metavar)


def several(meaning: str, read: ValueReader, allowed: str, metavar: str, separator: str = ";") -> Parameter:
    """Any number of these values."""
    return _setting(meaning, read, allowed, metavar, lambda values: separator.join(map(str, values)), separator)


def place(meaning: str) -> Parameter:
    """A prefix of an S3 bucket, or a folder."""
    return _setting(meaning, _read_place, "s3://BUCKET/PREFIX, or a folder such as /var/state or ./state", "PLACE")


def file(meaning: str, name: str | None = None) -> Parameter:
    """The path of a file that is read."""

    def read(given: str) -> Path:
        if not given:
            raise ValueError("that is empty")
        return Path(given)

    return _setting(meaning, read, "the path of a file", "FILE", name=name)


def switch(meaning: str, letter: str = "", name: str | None = None, *, show: bool = True) -> Parameter:
    """On or off."""
    short = f"-{letter}" if letter else None
    return Parameter(name=name, help=meaning, show_default=False, negative=(), alias=short, show=show)


def _read_place(given: str) -> Place:
    if not given.startswith("s3:"):
        if not given or "://" in given:
            raise ValueError("that is not a place for state")
        if not given.startswith(_FOLDER_BEGINS):
            # A bucket without s3:// would silently become a new, empty folder, in which nobody holds the lease.
            raise ValueError("that is neither a bucket nor a folder")
        return Folder(Path(given).expanduser())
    match = _BUCKET.fullmatch(given)
    if match is None:
        raise ValueError("that names no bucket")
    prefix = (match[2] or "").strip("/")
    if not _SAFE_KEY.fullmatch(prefix):
        raise ValueError("the prefix has characters that are not safe in keys")
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        raise ValueError("the prefix has a part that is empty, . or ..")
    return StoreBucket(match[1], f"{prefix}/" if prefix else "")


def _setting(
    meaning: str,
    read: ValueReader,
    allowed: str,
    metavar: str,
    write: Callable[[Any], str] = str,
    separator: str = "",
    *,
    show: bool = True,
    name: str | None = None,
) -> Parameter:
    return Parameter(
        name=name,
        help=meaning,
        converter=Reading(read, allowed, separator),
        n_tokens=1,
        negative=(),
        accepts_keys=False,  # a value of several fields is still one text
        metavar=metavar,
        show_default=lambda value: None if value is None or value in ((), "") else write(value),
        show=show,
    )
