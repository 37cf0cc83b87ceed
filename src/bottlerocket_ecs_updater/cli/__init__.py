"""The command line: settings, commands and exit codes.

It parses, wires the packages together and renders. Decisions are in `core`.
"""

from __future__ import annotations


def main() -> int:
    """The program: `bottlerocket-ecs-updater`, or `python -m bottlerocket_ecs_updater`. Gives the exit code."""
    # Imported here, so that importing one module of this package does not import the whole program.
    from bottlerocket_ecs_updater.cli.app import run_program  # noqa: PLC0415

    return run_program()
