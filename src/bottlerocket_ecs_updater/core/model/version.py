"""Bottlerocket versions, which are semantic versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_SEMVER = re.compile(
    r"v?(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})"
    r"(?:-([0-9A-Za-z.-]{1,128}))?(?:\+([0-9A-Za-z.-]{1,128}))?"
)
"""Custom builds use timestamps as numbers, and branch names with commits as pre-releases."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version of Bottlerocket, in semantic version order: a pre-release comes before its release.

    Build metadata (`+…`) is part of equality and of the text, and decides the order last.
    """

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `1.20.5` or `v1.20.5`. Raises ValueError for anything that is not a semantic version."""
        match = _SEMVER.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a version: {text[:60]!r}")
        major, minor, patch, pre, build = match.groups()
        return cls(int(major), int(minor), int(patch), pre or "", build or "")

    def __str__(self) -> str:
        pre = f"-{self.pre}" if self.pre else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...], str]:
        # Semantic Versioning 2.0.0, clause 11: numeric identifiers sort below alphanumeric ones.
        named = self.pre.split(".") if self.pre else ()
        parts = tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in named)
        return self.major, self.minor, self.patch, not self.pre, parts, self.build
