"""What a person types next: whole commands, to be copied as they stand, for whoever reads the page in the night.

A remedy says in words what to do; where one of our own commands does it, the remedy names it in back-ticks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.reasons import Failure

PROGRAM = "bottlerocket-ecs-updater"

SPELLED_OUT_MAX = 3
"""Instances for which a command is spelled out: those of the others differ in the id only."""

_NAMED = re.compile(r"`(release|resume|pause|plan|explain)(?: ([^`]+))?`")

_IN_THE_CONSOLE = frozenset(
    failure.code for failure in (Failure.NOT_BACK, Failure.ROLLED_BACK, Failure.NEVER_REBOOTED, Failure.REBOOT_STALLED)
)
"""Failures whose cause stands in the console output of the machine, if anywhere."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How a command finds the cluster of a run, and what is kept of it."""

    cluster: str
    region: str = ""
    """Empty where it is left to the configuration of AWS."""
    state: str = ""
    """Empty where there is no state store."""

    def line(self, *words: str) -> str:
        """A command of this program, with everything that it needs to know."""
        flags = {"--cluster": self.cluster, "--region": self.region, "--state": self.state}
        given = [part for flag, value in flags.items() if value for part in (flag, value)]
        return shlex.join([PROGRAM, *words, *given])

    def aws(self, *words: str) -> str:
        """A command of the AWS command line."""
        return shlex.join(["aws", *words, *(["--region", self.region] if self.region else [])])


@dataclass(frozen=True, slots=True)
class SuggestedCommands:
    """Commands of one purpose, a line each."""

    purpose: str
    lines: tuple[str, ...]


def for_halt(reach: Reach) -> tuple[SuggestedCommands, ...]:
    """To gain time; where there is no store there is no switch either."""
    if not reach.state:
        return ()
    return (
        SuggestedCommands("To start no new updates until you have looked", (reach.line("pause"),)),
        SuggestedCommands("To allow new updates again", (reach.line("resume"),)),
    )


def for_open(reach: Reach) -> tuple[SuggestedCommands, ...]:
    """To see how it stands now."""
    return (SuggestedCommands("To see the state of the cluster now", (reach.line("status"),)),)


def for_invocation(kind: str, command: str, instance: str, reach: Reach) -> tuple[SuggestedCommands, ...]:
    """To see what a document said on an instance, in full."""
    words = ("ssm", "get-command-invocation", "--command-id", command, "--instance-id", instance)
    return (SuggestedCommands(f"To see what its last command ({kind}) said", (reach.aws(*words),)),)


def for_quarantine(code: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """To see what a machine last said, and to give it back."""
    return (
        *_console(code, instances, reach),
        *_release("To return it to service when it is healthy", instances, reach),
    )


def for_failure(code: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """To see what a machine last said, and to let it be tried again."""
    again = "To let the next run retry it when the cause is fixed"
    return (*_console(code, instances, reach), *_release(again, instances, reach))


def for_hold(remedy: str, instances: Sequence[str], reach: Reach) -> tuple[SuggestedCommands, ...]:
    """The commands that a remedy names, in full."""
    told: list[SuggestedCommands] = []
    for verb, what in _NAMED.findall(remedy):
        if verb == "release" and not what:
            told += _release("To clear its backoff", instances, reach)
        else:
            told.append(SuggestedCommands(f"To {verb}{' ' + what if what else ''}", (reach.line(verb, *what.split()),)))
    return tuple(told)


def _console(code: str, instances: Sequence[str], reach: Reach) -> Iterator[SuggestedCommands]:
    if code in _IN_THE_CONSOLE:
        words = ("ec2", "get-console-output", "--instance-id", instances[0], "--latest", "--output", "text")
        yield SuggestedCommands("To see what its console said", (reach.aws(*words),))


def _release(purpose: str, instances: Sequence[str], reach: Reach) -> Iterator[SuggestedCommands]:
    lines = tuple(reach.line("release", instance) for instance in instances[:SPELLED_OUT_MAX])
    others = len(instances) - len(lines)
    yield SuggestedCommands(f"{purpose}; the other {others} likewise" if others else purpose, lines)
