"""Snippets in the documentation that no other test runs can at least be parsed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import hcl2
import pytest
import yaml
from lark.exceptions import UnexpectedInput

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "stacks" / "bottlerocket-ecs-updater.yaml"


def snippets(language: str) -> Iterator[str]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield from re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def parameters() -> set[str]:
    return set(re.findall(r"^  (\w+): \{Type: ", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE))


def test_terraform_wraps_the_template_with_parameters_that_it_has() -> None:
    found = [hcl2.loads(text) for text in snippets("hcl")]
    assert found
    for one in found:
        [stack] = one["resource"][0].values()
        [block] = stack.values()
        assert set(block["parameters"]) <= parameters()


def test_invalid_terraform_is_noticed() -> None:
    [text] = snippets("hcl")
    with pytest.raises(UnexpectedInput):
        hcl2.loads(text.replace("{", "", 1))


def test_cdk_wraps_the_template_with_parameters_that_it_has() -> None:
    found = [ast.parse(text) for text in snippets("python")]
    assert found
    for one in found:
        calls = [node for node in ast.walk(one) if isinstance(node, ast.Dict)]
        keys = {key.value for call in calls for key in call.keys if isinstance(key, ast.Constant)}
        assert keys <= parameters()


def test_the_example_of_a_parameter_file_has_parameters_that_the_template_has() -> None:
    lines = yaml.safe_load((TEMPLATE.parent / "parameters.example.json").read_text(encoding="utf-8"))
    assert {line.partition("=")[0] for line in lines} <= parameters()
