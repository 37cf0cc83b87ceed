"""Merges flags, environment and file into one call, and turns each mistake into one clear line.

cyclopts reads the flags and merges. This module adds the other two sources, checks their names, and reports where a
refused value came from.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter, Token
from cyclopts.argument import Argument
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from bottlerocket_ecs_updater.cli.settings.installed import NOT_FOR, SETTINGS_PARAMETER, TASK_DEFINITION, region_in
from bottlerocket_ecs_updater.cli.settings.suggestion import nearest_name
from bottlerocket_ecs_updater.errors import UsageError

Installed = Callable[[str, str | None], Iterable[tuple[str, str]]]
"""Returns the parameters with settings of a cluster's stack, as TOML by name, for a cluster and Region."""

PREFIX = "BOTTLEROCKET_ECS_UPDATER_"
CONFIG = "config"
CONFIG_TEXT = f"{PREFIX}CONFIG_TEXT"
"""A whole settings file in one variable, for ECS, which passes SSM parameters as variables."""
# The Go updater took flags with one dash. Its command lines still work.
_GO_FLAG = re.compile(r"-(?:cluster|region|(?:check|apply|reboot)-document)(?:=.*)?", re.DOTALL)

MAY_BE_EMPTY = frozenset({"Cluster", "Output", "Messages"})
"""Groups of settings for which an empty variable counts as unset. Every other setting may be a guard."""

STATE = "state"
"""No setting guards more: without the state store there is no pause, no suspect version and no lease."""

_SHOWN = 80
"""Characters of a refused value that are shown."""


def with_command(tokens: Sequence[str]) -> list[str]:
    """The tokens with their command. Arguments that begin with a flag of the Go updater are a `run`."""
    begins = tokens[0].removeprefix("-") if tokens and tokens[0].startswith("--") else "".join(tokens[:1])
    return ["run", *tokens] if _GO_FLAG.fullmatch(begins) else list(tokens)


@dataclass
class SettingsConflict(UsageError):
    """Settings that are allowed alone, but not together."""

    settings: tuple[str, ...] = ()


@dataclass
class Known:
    """The names of settings that other commands accept: first those of `run`, and the rest only if the name is not
    among them.

    One file, and one set of variables, may serve all commands: a command skips what it does not take.
    """

    definitions: Callable[[], Iterable[type]]
    elsewhere: Callable[[], Iterable[str]]

    @cached_property
    def usual(self) -> frozenset[str]:
        """The names of the settings of `run`."""
        return frozenset(_name(argument) for each in self.definitions() for argument in arguments_of(each))

    @cached_property
    def all(self) -> frozenset[str]:
        """The names of the settings of all commands. Reading them imports every command."""
        return self.usual | frozenset(self.elsewhere())

    def __contains__(self, name: str) -> bool:
        return name in self.usual or name in self.all

    def with_ours(self, ours: frozenset[str]) -> frozenset[str]:
        """These and the settings of the current command, for the names in the sections of a file."""
        return self.usual | ours


@dataclass
class _Sources:
    """Adds the other sources after the flags: first the environment, then the file."""

    environ: Mapping[str, str]
    definitions: Callable[[], Iterable[type]]
    elsewhere: Callable[[], Iterable[str]]
    installed: Installed | None = None
    arguments: ArgumentCollection = field(default_factory=ArgumentCollection)

    def __call__(self, _app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        self.arguments = arguments
        known = Known(self.definitions, self.elsewhere)
        _fill(arguments, _from_environment(self.environ), "the environment", known)
        chosen = arguments.get(f"--{CONFIG}", None)
        if chosen is not None and chosen.tokens and chosen.tokens[-1].value:
            path = Path(chosen.tokens[-1].value)
            _fill(arguments, self._of_cluster(_from_file(path), f"config file {path}", known), str(path), known)
        text = self.environ.get(CONFIG_TEXT)
        if text is not None:
            if not text.strip():
                raise UsageError(f"{CONFIG_TEXT} in the environment is empty: give it a value, or remove it")
            _fill(arguments, self._of_cluster(_content(text, CONFIG_TEXT), CONFIG_TEXT, known), CONFIG_TEXT, known)

        self._from_stack(commands, known)

    def _from_stack(self, commands: tuple[str, ...], known: Known) -> None:
        """Add what the cluster's stack recorded, if nothing else says where the state and documents are."""
        cluster, region = self._given("cluster"), self._given("region")
        takes_state = self.arguments.get("--state", None) is not None
        unset = not self._given("state") and not self._given("check-document")
        if self.installed is None or NOT_FOR & set(commands) or not (cluster and takes_state and unset):
            return
        for name, text in self.installed(cluster, region or region_in(cluster)):
            source = f"parameter {name}"
            content = dict(_content(text, source))
            content.pop(SETTINGS_PARAMETER, None)
            if self.arguments.get(f"--{TASK_DEFINITION}", None) is None:
                content.pop(TASK_DEFINITION, None)
            _fill(self.arguments, self._of_cluster(content, source, known), source, known)

    def _given(self, setting: str) -> str:
        """The texts given for a setting so far."""
        argument = self.arguments.get(f"--{setting}", None)
        return argument.tokens[-1].value if argument is not None and argument.tokens else ""

    def _of_cluster(self, content: Mapping[str, Any], source: str, known: Known) -> dict[str, _Given]:
        """The file's settings for the cluster that a flag or variable names; without one, the defaults."""
        from bottlerocket_ecs_updater.cli.settings.sections import take_apart  # noqa: PLC0415 - help needs no policy

        ours = frozenset(_name(argument) for argument in self.arguments if argument.parse)
        sections = take_apart(content, source, known.with_ours(ours) - {CONFIG})
        cluster = self._given("cluster")
        said = sections.of(cluster) if cluster else sections.defaults
        if CONFIG in said:
            raise UsageError(f"{CONFIG} in {source}: a settings file cannot name another one")
        return {key: _Given(key, _texts(source, key, value)) for key, value in said.items()}

    def origin(self, setting: str) -> str:
        """Where the value of a setting came from, as text."""
        argument = self.arguments.get(f"--{setting}", None)
        if argument is None or not argument.tokens:
            return f"{setting} is its default"
        return f"{setting} is from {_origin(argument.tokens[-1])}"


def configure(
    app: App,
    environ: Mapping[str, str],
    definitions: Callable[[], Iterable[type]] = tuple,
    installed: Installed | None = None,
    elsewhere: Callable[[], Iterable[str]] = tuple,
) -> App:
    """Prepare an application for `parse`.

    `definitions` gives the settings classes whose names may stand in the environment and in a file although the current
    command does not take them; it is called only when there is something to parse. `elsewhere` gives the names that any
    command takes; it is called only for a name that is not among those. `installed` reads what the stack of a cluster
    wrote down.
    """
    app.default_parameter = Parameter(allow_repeating=True)  # the last one wins, as in a shell alias
    app.help_format = "plaintext"  # the other formats import a Markdown parser, and take twice as long
    app.config = (_Sources(environ, definitions, elsewhere, installed),)
    return app


def arguments_of(settings: type) -> ArgumentCollection:
    """The settings that a class defines, in order, as cyclopts arguments."""

    def command(*, settings: Any) -> None:
        """A command that only takes the settings."""

    command.__annotations__["settings"] = settings
    return App(default_command=command).assemble_argument_collection()


def parse(app: App, tokens: Sequence[str]) -> Callable[[], Any]:
    """The call for these tokens, with its settings merged and validated. Raises UsageError."""
    sources: _Sources = app.config[0]
    given = [f"-{token}" if _GO_FLAG.fullmatch(token) else token for token in tokens]
    try:
        command, bound, _ = app.parse_args(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UsageError(_explain(error, sources.arguments)) from error
    except SettingsConflict as conflict:
        origins = ", ".join(sources.origin(setting) for setting in conflict.settings)
        raise UsageError(f"{conflict.message}; {origins}") from conflict
    return lambda: command(*bound.args, **bound.kwargs)


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting as it is written in one source: its name there, and its texts."""

    written: str
    texts: tuple[str, ...]
    empty: bool = False
    """Whether it is a variable without a value."""


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    # An empty variable counts as unset, because templates cannot always omit it. Guards are the exception.
    return {
        name.removeprefix(PREFIX).lower().replace("_", "-"): _Given(name, (value,) if value else (), empty=not value)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX) and name != CONFIG_TEXT
    }


def _from_file(path: Path) -> Mapping[str, Any]:
    source = f"config file {path}"
    try:
        # Windows editors start a file with a byte order mark.
        return _content(path.read_text(encoding="utf-8-sig"), source)
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: it is not UTF-8 text, at byte {error.start}") from error
    except ValueError as error:
        # The path is not valid.
        raise UsageError(f"{source}: {error}") from error


def _content(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UsageError(f"{source}: it is nested too deep") from error
    except (ValueError, OverflowError) as error:
        # It is not TOML, or it has dates that do not exist or numbers of thousands of digits.
        raise UsageError(f"{source}: {error}") from error


def _texts(source: str, key: str, value: object) -> tuple[str, ...]:
    match value:
        case bool():
            return ("true" if value else "false",)
        case str() | int() | float():
            return (str(value),)
        case list():
            return tuple(text for each in value for text in _texts(source, key, each))
        case dict():
            raise UsageError(f"{source}: [{key}] is a table; settings belong at the top, outside any table")
        case _:
            raise UsageError(f"{source}: {key} must be a text, a number, true or false, or a list of them")


def _fill(arguments: ArgumentCollection, given: Mapping[str, _Given], source: str, known_elsewhere: Known) -> None:
    """Add the settings of a source that no earlier source gave. Refuses unknown names."""
    ours = {argument.name.lstrip("-"): argument for argument in arguments if argument.parse}
    for name, setting in given.items():
        argument = ours.get(name)
        if argument is None:
            if name not in known_elsewhere:
                raise UsageError(_unknown(setting.written, source, name, known_elsewhere.all | set(ours)))
        elif not argument.tokens and setting.texts:
            _append(argument, setting, source)
        elif setting.empty and not argument.tokens and _guards(argument):
            raise UsageError(f"{setting.written} in {source} is empty: give it a value, or remove it")


def _guards(argument: Argument) -> bool:
    """Whether the setting is a guard, so that losing its value silently would do harm."""
    groups = argument.parameter.group
    listed = groups if isinstance(groups, tuple) else (groups,)
    return _name(argument) == STATE or not any(
        isinstance(group, Group) and group.name in MAY_BE_EMPTY for group in listed
    )


def _append(argument: Argument, setting: _Given, source: str) -> None:
    _, takes_many = argument.token_count()
    if len(setting.texts) != 1 and not takes_many:
        raise UsageError(f"{setting.written} in {source} is a list; only one value is allowed")
    for index, text in enumerate(setting.texts):
        argument.append(Token(keyword=setting.written, value=text, source=source, index=index))


def _unknown(written: str, source: str, name: str, names: Iterable[str]) -> str:
    suggestion = nearest_name(name, names)
    if not suggestion:
        return f"unknown setting {written} in {source}"
    if written.startswith(PREFIX):
        suggestion = PREFIX + suggestion.upper().replace("-", "_")
    return f"unknown setting {written} in {source}; did you mean {suggestion}?"


def _explain(error: CycloptsError, arguments: ArgumentCollection) -> str:
    match error:
        case UnknownOptionError():
            return _unknown_flag(error.token.keyword or error.token.value, error.argument_collection)
        case MissingArgumentError():
            return _missing(error, arguments)
        case UnknownCommandError():
            return _unknown_command((error.unused_tokens or [""])[0], error.app)
        case UnusedCliTokensError():
            return f"unexpected: {' '.join(error.unused_tokens or ())[:_SHOWN]}"
        case CoercionError():
            return _not_allowed(error)
        case _:
            return str(error)


def _not_allowed(error: CoercionError) -> str:
    """A value that its setting cannot have. Only types without our own reader, switches and words, lack a message."""
    argument, token = error.argument, error.token
    if token is None and argument is not None and argument.tokens:
        token = argument.tokens[-1]
    if argument is None or token is None:
        return str(error)
    choices = get_args(argument.hint)
    reason = error.msg or f"it must be {'one of ' + ', '.join(map(str, choices)) if choices else 'true or false'}"
    origin = f" (from {_origin(token)})" if token.keyword else ""
    return f"{_name(argument)} cannot be {token.value[:_SHOWN]!r}{origin}: {reason}"


def _missing(error: MissingArgumentError, arguments: ArgumentCollection) -> str:
    if error.keyword:
        return f"{error.keyword} needs a value"
    # A missing required flag is usually a misspelt one.
    known = {name for argument in arguments for name in argument.names}
    flags = [token for token in error.unused_tokens or () if token.startswith("-") and token not in known]
    if flags:
        return _unknown_flag(flags[0], arguments)
    missing = [each for each in arguments if each.required and not each.tokens and not each.children]
    if not missing and error.argument is not None:
        # Settings that are given all together or not at all, such as the documents of `plan`.
        group = error.argument.parameter.group
        needed = [each for each in arguments if each.parameter.group == group and each.field_info.required]
        missing = [each for each in needed if not each.tokens]
    if not missing:
        return str(error)
    names = [_name(each) for each in missing]
    required = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} required"
    settings = [_name(each) for each in missing if each.name.startswith("--")]
    if not settings:
        return required
    variable = PREFIX + settings[0].upper().replace("-", "_")
    return f"{required}: give --{settings[0]}, {variable}, or {settings[0]} in the --config file"


def _unknown_flag(written: str, arguments: ArgumentCollection) -> str:
    flag = written.partition("=")[0]
    # Compare without the dashes, which all flags have in common.
    names = [_name(argument) for argument in arguments if argument.parse]
    nearest = nearest_name(flag.lstrip("-"), names)
    return f"unknown flag {flag[:_SHOWN]}" + (f"; did you mean --{nearest}?" if nearest else "")


def _unknown_command(written: str, app: App | None) -> str:
    commands = [name for name in app or () if not name.startswith("-")]
    known = ["--help", "--version"] if written.startswith("-") else commands
    nearest = get_close_matches(written, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(commands)}"
    return f"unknown {'flag' if written.startswith('-') else 'command'} {written[:_SHOWN]}; {hint}"


def _name(argument: Argument) -> str:
    return argument.name.lstrip("-")


def _origin(token: Token) -> str:
    if token.source == "cli":
        return str(token.keyword)
    return f"{token.keyword} in {token.source}"
