"""`completion`: a shell script that completes commands, flags and values."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

from cyclopts import Parameter

ZSH_ENTRY = """
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _cyclopts_bottlerocket-ecs-updater "$@"
else
  compdef _cyclopts_bottlerocket-ecs-updater bottlerocket-ecs-updater
fi
"""
"""cyclopts only defines the function. It must be called where compinit loads the file, and registered if sourced."""


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.", metavar="SHELL")],
    /,
) -> int:
    """Print the completion of a shell: `source <(bottlerocket-ecs-updater completion bash)`."""
    from bottlerocket_ecs_updater.cli.app import build_app  # noqa: PLC0415 - it imports this

    script = build_app(os.environ).generate_completion(shell=shell)
    sys.stdout.write(script + ZSH_ENTRY if shell == "zsh" else script)
    return 0
