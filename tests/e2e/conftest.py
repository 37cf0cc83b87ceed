"""These tests start the program often, and test what it does, not how it starts."""

from tests.support.forked import quick_starts

__all__ = ["quick_starts"]
