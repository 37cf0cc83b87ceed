"""Truncation of command output, and the marks for it."""

from __future__ import annotations

STDOUT_LIMIT = 24_000
STDERR_LIMIT = 8_000
PLUGIN_OUTPUT_LIMIT = 2_500

_SUFFIX = "--output truncated--"
_ERROR_TITLE = "\n----------ERROR-------\n"
_OUT_CUT = "\n---Output truncated---"
_ERROR_CUT = "\n---Error truncated----"


def prefix(text: str, limit: int) -> str:
    """The start of a text, at most `limit` characters including the truncation mark."""
    return text if len(text) <= limit else text[: limit - len(_SUFFIX)] + _SUFFIX


def combined(stdout: str, stderr: str, limit: int = PLUGIN_OUTPUT_LIMIT) -> str:
    """Both streams as one text of at most `limit` characters, each truncated to its fair share."""
    title = _ERROR_TITLE if stderr else ""
    room = limit - len(title)
    if len(stdout) + len(stderr) <= room:
        return stdout + title + stderr
    if not stderr:
        return _cut(stdout, room, _OUT_CUT)
    half = room // 2
    if len(stdout) <= half:
        return stdout + title + _cut(stderr, room - len(stdout), _ERROR_CUT)
    if len(stderr) <= half:
        return _cut(stdout, room - len(stderr), _OUT_CUT) + title + stderr
    return _cut(stdout, half, _OUT_CUT) + title + _cut(stderr, half, _ERROR_CUT)


def _cut(text: str, room: int, note: str) -> str:
    return text[: room - len(note)] + note
