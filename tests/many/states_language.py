"""Checks of a States Language definition beyond cfn-lint's schema.

Source: the specification of the Amazon States Language, and "Handling errors in Step Functions workflows". `make lint`
also runs asl-validator, which checks much of the same, but only if Node is available.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonpath_ng.ext.parser import parse

Json = Mapping[str, Any]
INTRINSICS = frozenset(
    {
        *("Format", "StringToJson", "JsonToString", "StringSplit", "Base64Encode", "Base64Decode", "Hash", "UUID"),
        *("Array", "ArrayPartition", "ArrayContains", "ArrayRange", "ArrayGetItem", "ArrayLength", "ArrayUnique"),
        *("JsonMerge", "MathRandom", "MathAdd"),
    }
)
ERRORS = frozenset(
    {
        *("ALL", "Timeout", "HeartbeatTimeout", "TaskFailed", "Permissions", "DataLimitExceeded", "Runtime"),
        *("ExceedToleratedFailureThreshold", "ItemReaderFailed", "ResultWriterFailed", "BranchFailed"),
    }
)
RESERVED = frozenset({"States.IntrinsicFailure", "States.ParameterPathFailure", "States.ResultPathMatchFailure"})
"""Step Functions reports these as `States.Runtime`, which no Catch of another name takes."""
REFERENCES = ("ResultPath", "SecondsPath", "TimeoutSecondsPath", "MaxConcurrencyPath", "ItemsPath", "InputPath")
TERMINAL = ("Succeed", "Fail")


def faults(machine: Json, where: str = "") -> Iterator[str]:
    """All problems of a state machine, or of a part of a Map or a Parallel."""
    states: Mapping[str, Json] = machine["States"]
    targets = {name: list(_targets(state)) for name, state in states.items()}
    for name, state in states.items():
        at = f"{where}{name}"
        yield from (f"{at}: {to} does not exist" for to in targets[name] if to not in states)
        yield from _ends(at, state)
        yield from _errors(at, state)
        yield from (f"{at}: {one}" for one in _values(state))
        yield from (f"{at}: {key} is no reference path" for key in REFERENCES if not _reference(state.get(key, "$")))
        for part in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])):
            yield from faults(part, f"{at}/")
    yield from (f"{where}{name} is never reached" for name in states.keys() - _reached(machine["StartAt"], targets))


def _targets(state: Json) -> Iterator[str]:
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (one["Next"] for key in ("Choices", "Catch") for one in state.get(key, ()))


def _ends(at: str, state: Json) -> Iterator[str]:
    if state["Type"] == "Choice":
        if "Default" not in state:
            yield f"{at}: a Choice without a Default can fail the execution"
    elif state["Type"] not in TERMINAL and ("Next" in state) == state.get("End", False):
        yield f"{at}: needs Next or End"


def _errors(at: str, state: Json) -> Iterator[str]:
    for key in ("Retry", "Catch"):
        rules: Sequence[Json] = state.get(key, ())
        for number, rule in enumerate(rules):
            names = rule["ErrorEquals"]
            if "States.ALL" in names and (len(names) > 1 or number < len(rules) - 1):
                yield f"{at}: States.ALL must be alone and last in {key}"
            for name in names:
                known = not name.startswith("States.") or name.removeprefix("States.") in ERRORS
                if not known or name in RESERVED:
                    yield f"{at}: no error has the name {name}"
        if key == "Catch":
            yield from (f"{at}: {key} loses its input" for rule in rules if not _reference(rule.get("ResultPath", "")))


def _values(part: Any) -> Iterator[str]:
    """Problems of the paths that a state reads when it runs."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in ("States", "Branches", "ItemProcessor"):
                continue
            if key.endswith(".$"):
                yield from _expression(value)
            elif key == "Variable":
                yield from _path(value)
            else:
                yield from _values(value)
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for one in part:
            yield from _values(one)


def _expression(text: str) -> Iterator[str]:
    if text.startswith("$"):
        yield from _path(text)
        return
    plain = re.sub(r"'(?:[^'\\]|\\.)*'", "''", text)
    called = re.findall(r"([\w.]+)\(", plain)
    if not called or plain.count("(") != plain.count(")"):
        yield f"{text} is neither a path nor a call"
    yield from (
        f"no intrinsic has the name {name}" for name in called if name.removeprefix("States.") not in INTRINSICS
    )
    for holes, values in re.findall(r"States\.Format\('((?:[^'\\]|\\.)*)'((?:, [^()]+|\([^()]*\))*)\)", text):
        given = len([one for one in re.sub(r"\([^()]*\)", "", values).split(",") if one.strip()])
        if holes.count("{}") != given:
            yield f"{holes!r} has {holes.count('{}')} places for {given} values"
    yield from (fault for path in re.findall(r"\$[\w.$\[\]*]*", plain) for fault in _path(path.strip()))


def _path(text: str) -> Iterator[str]:
    try:
        parse(text.replace("$$", "$", 1).replace("'updater'", '"updater"').replace("== false", '== "false"'))
    except Exception as error:
        yield f"{text} is no path: {error}"


def _reference(text: str) -> bool:
    """Whether it names exactly one value: no search, no slice, no filter."""
    return re.fullmatch(r"\$(\.\w+|\[\d+\])*", text) is not None


def _reached(start: str, targets: Mapping[str, Sequence[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += targets.get(name, ())
    return reached
