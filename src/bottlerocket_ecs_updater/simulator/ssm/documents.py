"""Run Command documents: the lines to run, the timeout, and the step's name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import yaml

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_EXECUTION_TIMEOUT = timedelta(hours=1)

RUN_SHELL_SCRIPT = json.dumps(
    {
        "schemaVersion": "2.2",
        "parameters": {
            "commands": {"type": "StringList"},
            "workingDirectory": {"type": "String", "default": ""},
            "executionTimeout": {"type": "String", "default": "3600"},
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "runShellScript",
                "inputs": {"runCommand": "{{ commands }}", "timeoutSeconds": "{{ executionTimeout }}"},
            }
        ],
    }
)
"""AWS-RunShellScript, which every account has."""

_PARAMETER = re.compile(r"{{\s*([\w.-]+)\s*}}")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A document's only step, with its parameters filled in."""

    name: str
    lines: tuple[str, ...]
    timeout: timedelta


def read_plugin(content: str, given: Mapping[str, Sequence[str]]) -> Plugin:
    """Parse a document of schema 2.2 with one aws:runShellScript step.

    Raises AwsError: InvalidDocumentContent for any other document, InvalidParameters for unknown or missing
    parameters.
    """
    document = _parse(content)
    steps = document.get("mainSteps")
    if not isinstance(steps, list) or len(steps) != 1 or not isinstance(steps[0], dict):
        raise AwsError("InvalidDocumentContent", "Only documents with exactly one step are simulated.")
    step = steps[0]
    if step.get("action") != "aws:runShellScript":
        raise AwsError("InvalidDocumentContent", f"The action {step.get('action')!r} is not simulated.")
    values = _values(document.get("parameters") or {}, given)
    inputs = step.get("inputs") or {}
    timeout = _fill(str(inputs.get("timeoutSeconds", "")), values)
    return Plugin(
        name=str(step.get("name", "runShellScript")),
        lines=tuple(_lines(inputs.get("runCommand", []), values)),
        timeout=timedelta(seconds=int(timeout)) if timeout.isdecimal() else DEFAULT_EXECUTION_TIMEOUT,
    )


def _parse(content: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except json.JSONDecodeError:
        try:
            document = yaml.safe_load(content)
        except yaml.YAMLError as error:
            raise AwsError("InvalidDocumentContent", f"JSON or YAML: {error}") from error
    if not isinstance(document, dict):
        raise AwsError("InvalidDocumentContent", "The content of the document is not an object.")
    return document


def _values(declared: Mapping[str, Any], given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    unknown = given.keys() - declared.keys()
    if unknown:
        raise AwsError("InvalidParameters", f"Unknown parameters: {', '.join(sorted(unknown))}")
    values: dict[str, list[str]] = {}
    for name, declaration in declared.items():
        if name in given:
            values[name] = list(given[name])
        elif "default" in declaration:
            default = declaration["default"]
            values[name] = [str(each) for each in default] if isinstance(default, list) else [str(default)]
        else:
            raise AwsError("InvalidParameters", f"Parameter {name} has no value.")
    return values


def _lines(run_command: object, values: Mapping[str, Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for line in run_command if isinstance(run_command, list) else [run_command]:
        whole = _PARAMETER.fullmatch(str(line).strip())
        lines.extend(values.get(whole[1], [])) if whole else lines.append(_fill(str(line), values))
    return lines


def _fill(text: str, values: Mapping[str, Sequence[str]]) -> str:
    return _PARAMETER.sub(lambda found: ",".join(values.get(found[1], [found[0]])), text)
