"""Runs `python -m acceptance` on an existing cluster, as a process that tests can interrupt and kill."""

from __future__ import annotations

import sys

import acceptance.__main__ as entry
from acceptance.account import Account
from acceptance.ground import STACK, RealGround


class Standing(RealGround):
    """The simulated account cannot create a cluster stack: its cluster and hosts exist already, and stay."""

    def make(self) -> None:
        """Nothing has to be created."""

    def fresh(self) -> None:
        """Delete only the updater's stack; the hosts stay."""
        if self.account.stack(STACK):
            self.account.delete_stack(STACK)


def ground(_: object) -> Standing:
    return Standing(
        Account("us-east-1", speed=120),
        "subnet-1,subnet-2",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater@sha256:" + "0" * 64,
        "1.20.0",
        cluster="demo",
        groups=("web-a", "web-b"),
    )


if __name__ == "__main__":
    entry._ground = ground  # type: ignore[assignment]
    words = ["--region", "us-east-1", "--subnets", "x", "--image", f"updater@sha256:{'0' * 64}", "--yes"]
    sys.exit(entry.main([*words, *sys.argv[1:]]))
