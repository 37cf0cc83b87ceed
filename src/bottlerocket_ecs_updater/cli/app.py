"""The command line: the commands, and the exit code of each outcome."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from io import TextIOWrapper

from cyclopts import App

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.cli.help_pages import written_help
from bottlerocket_ecs_updater.cli.settings.installed import read_installed
from bottlerocket_ecs_updater.cli.settings.parsing import PREFIX, configure, parse, with_command
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, UpdaterError, UsageError
from bottlerocket_ecs_updater.report.analysis.suggested_commands import PROGRAM

COMMANDS_PACKAGE = "bottlerocket_ecs_updater.cli.commands"


class Exit(IntEnum):
    """The exit codes."""

    FINE = 0
    """Nothing failed. An instance that policy holds back is not a failure."""
    COULD_NOT_RUN = 1
    """AWS did not answer or refused a call, the lease was lost, or the program has a bug."""
    USAGE = 2
    """A flag or setting is wrong; nothing was called."""
    FAILED = 3
    """At least one instance failed to update, is quarantined, or is out of service because the run was interrupted."""
    HALTED = 4
    """The run stopped itself, and a person must look."""


COMMANDS = {
    "run": "Update the cluster's Bottlerocket instances, within the configured limits.",
    "plan": "Show what `run` would do, without changing anything.",
    "doctor": "Check credentials, cluster, documents, state store, permissions and hosts, and report what to fix.",
    "explain": "Explain why an instance is, or is not, updated: all known facts, and the result of every rule.",
    "status": "Show instances by version and state, claims, backoffs, the lease, the last run, and what it held.",
    "report": "Write the report of a run, from its record, as HTML, Markdown or JSON.",
    "history": "List the runs of a cluster, and what people did, newest first.",
    "pause": "Start no new updates on a cluster until `resume`; updates in progress are finished.",
    "resume": "Allow new updates again on a paused cluster.",
    "release": "Return a quarantined instance, clear its backoff, mark a version as good, or forget a blocked drain.",
    "promote": "Let clusters update to a version without waiting for other stages.",
    "unpromote": "Undo `promote`.",
    "block": "Stop all clusters that share the state store from updating to a version. Overrides every other rule.",
    "unblock": "Undo `block`.",
    "expedite": "Skip minimum age, promotion and checkpoints for a version.",
    "unexpedite": "Undo `expedite`.",
    "fleet": "Show or update all clusters of an account and Region, or all that share a state store.",
    "completion": "Print a completion script for bash, zsh or fish.",
    "simulate": "Run against a simulated cluster on this machine.",
}
"""The commands. Each is imported when it is called, most of them from the module of the same name."""

OPPOSITES = {"unpromote": "promote", "unblock": "block", "unexpedite": "expedite"}
"""Commands that are in the module of the command that they undo."""


def _sources(setting: str, value: str) -> str:
    """Where a setting can be given, with one of the command's settings as the example."""
    return f"""\
Each setting can also be an environment variable, or a key in the TOML file that --config names:
  --{setting} {value}
  {PREFIX}{setting.upper().replace("-", "_")}={value}
  {setting} = "{value}"
A flag overrides a variable, and a variable overrides the file."""


HELP_EPILOGUE = _sources("drain-timeout", "40m")

OTHER_EPILOGUES = {
    "completion": f"""\
bash, in ~/.bashrc:                    source <({PROGRAM} completion bash)
zsh, in ~/.zshrc and after compinit:   source <({PROGRAM} completion zsh)
fish, in its config.fish:              {PROGRAM} completion fish | source""",
    "simulate": f"""\
Each setting can also be an environment variable, which a flag overrides:
  --instances 30
  {PREFIX}INSTANCES=30""",
}
"""For the commands that take no file."""

EXAMPLES = f"""\
Examples:
  --window 'Sat,Sun 02:00 4h Europe/Berlin'   update only at these times
  --freeze '2026-12-20..2027-01-03 UTC'       start nothing on these days
  --include 'attribute:ring == canary'        update only these instances
  --include capacity-provider:web             … or only this provider's
  --exclude 'auto-scaling-group:batch-*'      leave these instances alone
  --task 'nightly wait 4h'                    wait for a standalone task
  --task 'cache stop 30m'                     … or stop it after 30 minutes
  --allow '>=1.26,<1.28' --deny 1.26.1        update only to these versions
  --pin '1.26.*' --minimum-age 7d             … and only after a week

{HELP_EPILOGUE}"""
"""For the commands that take the operator's rules."""

WITH_RULES = ("run", "plan", "explain")
WITH_LIMITS = ("doctor",)


OF_ONE_CLUSTER = frozenset({"plan", "doctor", "explain", "status", "report", "history", "pause", "resume", "release"})
INSTALLED = """\
If you give neither --state nor documents, they are read from the stack of the cluster: then --cluster is enough."""
"""For the commands that read what the stack of a cluster installed."""


def _epilogue(command: str) -> str:
    installed = f"\n\n{INSTALLED}" if command in OF_ONE_CLUSTER else ""
    if command in WITH_RULES:
        return EXAMPLES + installed
    sources = HELP_EPILOGUE if command in WITH_LIMITS else _sources("region", "eu-central-1")
    return OTHER_EPILOGUES.get(command, sources) + installed


def build_app(environ: Mapping[str, str]) -> App:
    """The application; it also takes settings from the given environment."""
    app = App(
        name=PROGRAM,
        version=__version__,
        help="Keeps the Bottlerocket container instances of an Amazon ECS cluster up to date.",
        help_epilogue=HELP_EPILOGUE,
    )
    for name, meaning in COMMANDS.items():
        room = f"{COMMANDS_PACKAGE}.{OPPOSITES.get(name, name)}"
        app.command(f"{room}:{name}", name=name, help=meaning, help_epilogue=_epilogue(name))
    return configure(app, environ, _definitions, read_installed, lambda: names_of_settings(app))


def names_of_settings(app: App) -> Iterator[str]:
    """The names of the settings of all commands. Imports every command."""
    for name in COMMANDS:
        for argument in app[name].assemble_argument_collection():
            if argument.parse and argument.name.startswith("--"):
                yield argument.name.removeprefix("--")


def settings_of_all() -> Iterator[str]:
    """The same, without an application."""
    return names_of_settings(build_app({}))


def run_program(tokens: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. `tokens` are its arguments, by default those of the process."""
    given = list(sys.argv[1:] if tokens is None else tokens)
    verbose = bool({"--verbose", "-v"} & set(given))
    _open_streams()

    def called() -> int | None:
        page = written_help(given, tuple(COMMANDS))
        if page is not None:
            sys.stdout.write(page)
            return None
        # Errors in the arguments end the program in the same way as all others.
        command: Callable[[], int | None] = parse(build_app(os.environ), with_command(given) or ["--help"])
        return command()

    code = conclude(called, verbose=verbose)
    _leave_streams()
    return code


def conclude(command: Callable[[], int | None], *, verbose: bool) -> Exit:
    """Run a command and return its exit code.

    An expected error becomes one line on stderr. Any other exception is a bug and is raised; Python exits with 1 then.
    """
    try:
        return _written_out(Exit(command() or Exit.FINE))
    except (UpdaterError, LeaseLost) as error:
        if verbose:
            traceback.print_exc()
        _say(str(error))
        return Exit.USAGE if isinstance(error, UsageError) else Exit.COULD_NOT_RUN
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does after ten lines.
        return Exit.COULD_NOT_RUN
    except OSError as error:
        if error.filename is not None:
            raise
        _say(f"the output cannot be written: {error.strerror or error}")
        return Exit.COULD_NOT_RUN
    except (KeyboardInterrupt, Interrupted):
        return Exit.COULD_NOT_RUN


def _written_out(code: Exit) -> Exit:
    sys.stdout.flush()
    return code


def _say(text: str) -> None:
    """Print the error as one line. Names and values in it may be untrusted, so it is sanitized."""
    with suppress(OSError, ValueError):
        print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)


def _open_streams() -> None:
    """Make sure that stdout and stderr exist and can write any text."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The caller closed it. Otherwise the next socket or file would get its number, and our output.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave_streams() -> None:
    """Flush the streams. If their reader has gone, keep the interpreter from reporting it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _definitions() -> tuple[type, ...]:
    from bottlerocket_ecs_updater.cli.settings.settings import RunSettings  # noqa: PLC0415 - help and version need none

    return (RunSettings,)
