"""ASKS: parse, wire together, render, exit.

Here live the settings, the commands and the exit codes. Never here: a decision.
"""

from __future__ import annotations


def main() -> int:
    """The program: `bottlerocket-ecs-updater`, or `python -m bottlerocket_ecs_updater`. Gives the exit code."""
    # Imported here, so that importing a part of this room does not import the whole.
    from bottlerocket_ecs_updater.cli.app import main  # noqa: PLC0415

    return main()
