"""Generated values for properties: versions, answers, claims, instances, fleets and policies."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.version import Version

PURE = settings(deadline=None, derandomize=True, max_examples=150, database=None)
"""Core is pure: the same examples everywhere, as many as a few seconds bear, and none is too slow."""

numbers = st.integers(0, 99)
identifiers = st.from_regex(r"(0|[1-9][0-9]{0,2}|[a-z][a-z0-9-]{0,5})", fullmatch=True)
dotted = st.lists(identifiers, max_size=3).map(".".join)
versions = st.builds(Version, numbers, numbers, numbers, dotted, dotted)
