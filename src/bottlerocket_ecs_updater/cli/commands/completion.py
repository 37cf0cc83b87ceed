"""`completion`: a shell script that completes commands, flags and values."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.", metavar="SHELL")],
    /,
) -> int:
    """Print the completion of a shell: `source <(bottlerocket-ecs-updater completion bash)`."""
    from bottlerocket_ecs_updater.cli.app import build_app  # noqa: PLC0415 - it imports this

    sys.stdout.write(build_app(os.environ).generate_completion(shell=shell))
    return 0
