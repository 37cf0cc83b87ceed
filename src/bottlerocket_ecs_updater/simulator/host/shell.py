"""The control container's shell: enough of `sh` for the scripts that update Bottlerocket hosts.

Commands are joined by newlines, `;`, `&&` and `||`. A failed line stops the script only with `set -e`; the script's
status is the last one. There are no variables or loops, and only
the filters `tr -d`, `grep -q` and `grep -qxE`: anything else is a syntax error.
"""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NoReturn

from bottlerocket_ecs_updater.simulator.faults import Oddity, OddOutput
from bottlerocket_ecs_updater.simulator.host import apiclient
from bottlerocket_ecs_updater.simulator.host.script import Streams

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from bottlerocket_ecs_updater.simulator.host.apiclient import HostApi
    from bottlerocket_ecs_updater.simulator.host.script import Program

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
_REDIRECTION = re.compile(r"\s(2>&1|[12&]?>>?\s*/dev/null)(?=\s|$|;)")
_NO_OUT, _NO_ERR = "\0out", "\0err"
"""The words that stand for a command's redirections to /dev/null."""


_PIPE = "|"

_FILTERS = frozenset({("tr", "-d"), ("grep", "-q"), ("grep", "-qxE")})
FILTER_WORDS = 3
"""The words of a filter: its name, its option and what it filters."""


class _ExitError(Exception):
    """Ends the script with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run_script(api: HostApi, boot_id: str, lines: Sequence[str], streams: Streams) -> Program:
    """Run a script; returns its exit status."""
    shell = _Shell(api, boot_id, streams)
    try:
        for line in "\n".join(lines).splitlines():
            yield from shell.line(line)
    except _ExitError as end:
        return end.status
    return shell.status


@lru_cache(maxsize=256)  # thousands of hosts run the same few lines
def _split(line: str) -> tuple[str, ...]:
    """The words and operators of a line. Raises ValueError for unclosed quotes."""
    lexer = shlex.shlex(_REDIRECTION.sub(_thrown_away, f"{line} "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return tuple(lexer)


def _thrown_away(redirection: re.Match[str]) -> str:
    """The words for one redirection; none for `2>&1`, because Run Command keeps both streams anyway."""
    match redirection[1][0], redirection[1]:
        case "2", "2>&1":
            return " "
        case "2", _:
            return f" {_NO_ERR} "
        case "&", _:
            return f" {_NO_OUT} {_NO_ERR} "
        case _:
            return f" {_NO_OUT} "


def _stages(words: list[str]) -> list[list[str]]:
    """The commands of a pipeline."""
    stages: list[list[str]] = [[]]
    for word in words:
        if word == _PIPE:
            stages.append([])
        else:
            stages[-1].append(word)
    return stages


def _basic(pattern: str) -> str:
    """A basic regular expression of grep in Python's syntax, as far as scripts here need it."""
    return re.sub(r"([+?|(){}])", r"\\\1", pattern)


class _Shell:
    def __init__(self, api: HostApi, boot_id: str, streams: Streams) -> None:
        self._api = api
        self._boot_id = boot_id
        self._streams = streams
        self._errexit = False
        self.status = 0

    def line(self, line: str) -> Generator[timedelta, None, None]:
        for before, words, after in self._commands(line):
            if (before == "&&" and self.status != 0) or (before == "||" and self.status == 0):
                continue
            self.status = yield from self._command(words)
            if self.status != 0 and self._errexit and after not in {"&&", "||"}:
                raise _ExitError(self.status)

    def _commands(self, line: str) -> Iterator[tuple[str, list[str], str]]:
        """Each command of a line, with the operators before and after it."""
        if line.strip().startswith("#"):
            return
        before: str = ";"
        words: list[str] = []
        for token in self._tokens(line):
            if token in {";", "&&", "||"}:
                if words:
                    yield before, words, token
                before, words = token, []
            elif token == _PIPE and words:
                words.append(token)
            elif token[:1] and token[0] in "|&()<>;":
                self._syntax_error(f"unexpected `{token}'")
            else:
                words.append(token)
        if words:
            yield before, words, ";"

    def _tokens(self, line: str) -> tuple[str, ...]:
        try:
            return _split(line)
        except ValueError as error:
            self._syntax_error(str(error))

    def _syntax_error(self, text: str) -> NoReturn:
        self._streams.print_error(f"sh: syntax error: {text}")
        raise _ExitError(2)

    def _command(self, words: list[str]) -> Program:
        shown = self._streams
        self._streams = Streams([] if _NO_OUT in words else shown.out, [] if _NO_ERR in words else shown.err)
        try:
            return (yield from self._plain([word for word in words if word not in {_NO_OUT, _NO_ERR}]))
        finally:
            self._streams = shown

    def _piped(self, words: list[str]) -> Program:
        """Run a command, and its output through filters; the status is that of the last one."""
        first, *filters = _stages(words)
        if any(tuple(each[:2]) not in _FILTERS or len(each) != FILTER_WORDS for each in filters):
            self._syntax_error("unexpected `|'")
        shown, self._streams = self._streams, Streams([], self._streams.err)
        try:
            status = yield from self._plain(first)
            text = "".join(self._streams.out)
        finally:
            self._streams = shown
        for name, option, argument in filters:
            if name == "tr":
                drop, status = argument.replace("\\n", "\n"), 0
                text = "".join(letter for letter in text if letter not in drop)
            else:
                found = partial(re.fullmatch, argument) if "x" in option else partial(re.search, _basic(argument))
                status = int(not any(map(found, text.splitlines())))
                text = ""
        self._streams.out.append(text)
        return status

    def _plain(self, words: list[str]) -> Program:
        if _PIPE in words:
            return (yield from self._piped(words))
        match words:
            case ["apiclient" | "/usr/local/bin/apiclient", *arguments]:
                return (yield from apiclient.run_apiclient(self._api, arguments, self._streams))
            case ["exec", *command] if command:
                raise _ExitError((yield from self._plain(command)))
            case ["sleep", seconds] if re.fullmatch(r"\d+(\.\d+)?", seconds):
                yield timedelta(seconds=float(seconds))
                return 0
            case _:
                return self._at_once(words)

    def _at_once(self, words: list[str]) -> int:
        match words:
            case ["true" | ":", *_]:
                return 0
            case ["false", *_]:
                return 1
            case ["test", "-n", text]:
                return int(not text)
            case ["exit"]:
                raise _ExitError(self.status)
            case ["exit", status] if status.isdecimal():
                raise _ExitError(int(status) % 256)
            case ["set", *flags]:
                return self._set(flags)
            case ["echo", "-n", *rest]:
                self._streams.out.append(" ".join(rest))
            case ["echo", *rest]:
                self._streams.print(" ".join(rest))
            case ["cat", *files]:
                return max((self._cat(file) for file in files), default=0)
            case _:
                self._streams.print_error(f"sh: {words[0]}: command not found")
                return 127
        return 0

    def _set(self, flags: list[str]) -> int:
        for place, flag in enumerate(flags):
            long = flag in {"-o", "+o"} and flags[place + 1 : place + 2] == ["errexit"]
            if long or (flag[:1] in {"-", "+"} and "e" in flag):
                self._errexit = flag[0] == "-"
        return 0

    def _cat(self, file: str) -> int:
        odd = self._api.machine.active_faults
        if file == BOOT_ID_FILE and not odd.strike(OddOutput, lambda odd: odd.oddity is Oddity.NO_BOOT_ID):
            self._streams.print(self._boot_id)
            return 0
        self._streams.print_error(f"cat: {file}: No such file or directory")
        return 1
