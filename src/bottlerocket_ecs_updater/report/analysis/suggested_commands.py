"""Complete commands that a person can copy and run next.

A remedy says in words what to do. If one of the updater's commands does it, the remedy names it in back-ticks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.reasons import Failure

PROGRAM = "bottlerocket-ecs-updater"

SPELLED_OUT_MAX = 3
"""How many instances get a command of their own. The others differ only in the id."""

_NAMED = re.compile(r"`(release|resume|pause|plan|explain)(?: ([^`]+))?`")

_IN_THE_CONSOLE = frozenset(
    failure.code for failure in (Failure.NOT_BACK, Failure.ROLLED_BACK, Failure.NEVER_REBOOTED, Failure.REBOOT_STALLED)
)
"""Failures whose cause may be in the machine's console output."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How a command finds the cluster of a run and its state."""

    cluster: str
    region: str = ""
    """Empty to use the AWS configuration."""
    state: str = ""
    """Empty without a state store."""

    def line(self, *words: str) -> str:
        """A complete command of this program."""
        flags = {"--cluster": self.cluster, "--region": self.region, "--state": self.state}
        given = [part for flag, value in flags.items() if value for part in (flag, value)]
        return shlex.join([PROGRAM, *words, *given])

    def aws(self, *words: str) -> str:
        """A command of the AWS CLI."""
        return shlex.join(["aws", *words, *(["--region", self.region] if self.region else [])])


@dataclass(frozen=True, slots=True)
class SuggestedCommands:
    """Commands for one purpose, one on each line."""

    purpose: str
    lines: tuple[str, ...]


def for_halt(reach: Reach) -> tuple[SuggestedCommands, ...]:
    """Pause the updates. Needs a store."""
    if not reach.state:
        return ()
    return (
        SuggestedCommands("To start no new updates until you have looked", (reach.line("pause"),)),
        SuggestedCommands("To allow new updates again", (reach.line("resume"),)),
    )


def for_open(reach: Reach) -> tuple[SuggestedCommands, ...]:
    """Show the current state."""
    return (SuggestedCommands("To see the state of the cluster now", (reach.line("status"),)),)


def for_invocation(kind: str, command: str, instance: str, reach: Reach) -> tuple[SuggestedCommands, ...]:
    """Show the full output of a document on an instance."""
    words = ("ssm", "get-command-invocation", "--command-id", command, "--instance-id", instance)
    return (SuggestedCommands(f"To see the output of its last command ({kind})", (reach.aws(*words),)),)


def for_quarantine(code: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """Show the machine's last output, and return the instance to service."""
    return (
        *_console(code, instances, reach),
        *_release("To return it to service when it is healthy", instances, reach),
    )


def for_failure(code: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """Show the machine's last output, and let the update be tried again."""
    again = "To let the next run retry it when the cause is fixed"
    return (*_console(code, instances, reach), *_release(again, instances, reach))


def for_hold(remedy: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """The commands that a remedy names, complete."""
    suggested: list[SuggestedCommands] = []
    for verb, what in _NAMED.findall(remedy):
        if verb == "release" and not what:
            suggested += _release("To clear its backoff", instances, reach)
        else:
            words = _words(what)
            suggested.append(SuggestedCommands(f"To {' '.join([verb, *words])}", (reach.line(verb, *words),)))
    return tuple(suggested)


def _words(text: str) -> list[str]:
    """The words of a part of a command line, without their quotes."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _console(code: str, instances: Sequence[str], reach: Reach) -> Iterator[SuggestedCommands]:
    if code in _IN_THE_CONSOLE:
        words = ("ec2", "get-console-output", "--instance-id", instances[0], "--latest", "--output", "text")
        yield SuggestedCommands("To see its console output", (reach.aws(*words),))


def _release(purpose: str, instances: Sequence[str], reach: Reach) -> Iterator[SuggestedCommands]:
    lines = tuple(reach.line("release", instance) for instance in instances[:SPELLED_OUT_MAX])
    others = len(instances) - len(lines)
    yield SuggestedCommands(f"{purpose}; the other {others} likewise" if others else purpose, lines)
