"""The settings that the stack wrote for a cluster fill in what a person did not give."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from cyclopts import App
from tests.stack.stage import deployed

from bottlerocket_ecs_updater.cli.commands.doctor import DoctorSettings
from bottlerocket_ecs_updater.cli.settings.installed import SETTINGS_PARAMETER, settings_parameter
from bottlerocket_ecs_updater.cli.settings.parameters import StoreBucket
from bottlerocket_ecs_updater.cli.settings.parsing import configure, parse
from bottlerocket_ecs_updater.cli.settings.settings import RunSettings
from bottlerocket_ecs_updater.errors import UsageError

ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/web"
WRITTEN = """
state = 's3://ours/updater'
check-document = 'look'
apply-document = 'stage'
reboot-document = 'boot'
max-unavailable = '3'
settings-parameter = 'CFN-settings'
task-definition = 'updater:3'
"""
SETTINGS = """
max-unavailable = 5
deny = ["1.2.3"]
"""


class Shelf:
    """Two parameters, and for which clusters they were asked."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, cluster: str, region: str | None) -> Iterator[tuple[str, str]]:
        self.asked.append((cluster, region))
        yield from ((f"p{number}", text) for number, text in enumerate(self.texts))


def take(shelf: Shelf, command: str, *tokens: str, **environ: str) -> RunSettings:
    def carry_out(*, settings: RunSettings) -> RunSettings:
        return settings

    app = App()
    app.command(carry_out, name=command)
    made = configure(app, environ, lambda: (RunSettings,), shelf)
    found: RunSettings = parse(made, [command, *tokens])()
    return found


def test_a_cluster_is_enough_to_find_state_documents_and_settings() -> None:
    found = take(Shelf(WRITTEN, SETTINGS), "plan", "--cluster", "web")
    assert found.target.state == StoreBucket("ours", "updater/")
    assert found.documents.check_document == "look"
    assert [str(one) for one in found.policy.rules.versions.deny] == ["1.2.3"]


def test_a_parameter_of_the_stack_wins_over_its_settings_as_in_a_run() -> None:
    assert take(Shelf(WRITTEN, SETTINGS), "plan", "--cluster", "web").limits.max_unavailable.number == 3


def test_a_flag_and_a_variable_override_the_stacks_settings() -> None:
    shelf = Shelf(WRITTEN, SETTINGS)
    assert take(shelf, "plan", "--cluster", "web", "--max-unavailable", "7").limits.max_unavailable.number == 7
    variable = {"BOTTLEROCKET_ECS_UPDATER_MAX_UNAVAILABLE": "8"}
    assert take(shelf, "plan", "--cluster", "web", **variable).limits.max_unavailable.number == 8


def test_a_parameter_is_read_in_the_region_of_its_arn() -> None:
    shelf = Shelf(WRITTEN)
    take(shelf, "plan", "--cluster", ARN)
    take(shelf, "plan", "--cluster", "web", "--region", "us-west-2")
    assert shelf.asked == [(ARN, "eu-west-1"), ("web", "us-west-2")]
    assert settings_parameter(ARN) == settings_parameter("web") == "/bottlerocket-ecs-updater/web"


@pytest.mark.parametrize("given", [("--state", "s3://theirs/b"), ("--check-document", "look")])
def test_nothing_is_read_where_state_or_documents_are_given(given: tuple[str, str]) -> None:
    shelf = Shelf(WRITTEN)
    with pytest.raises(UsageError, match="required"):
        take(shelf, "plan", "--cluster", "web", *given)
    assert shelf.asked == []


def test_the_task_definition_is_for_the_command_that_looks_at_it() -> None:
    def carry_out(*, settings: DoctorSettings) -> str | None:
        return settings.task_definition

    app = App()
    app.command(carry_out, name="doctor")
    made = configure(app, {}, lambda: (DoctorSettings,), Shelf(WRITTEN, SETTINGS))
    assert parse(made, ["doctor", "--cluster", "web"])() == "updater:3"
    assert parse(made, ["doctor", "--cluster", "web", "--task-definition", "mine"])() == "mine"


def test_a_run_never_reads_it() -> None:
    shelf = Shelf(WRITTEN)
    with pytest.raises(UsageError, match="required"):
        take(shelf, "run", "--cluster", "web")
    assert shelf.asked == []


def test_an_invalid_parameter_is_named() -> None:
    with pytest.raises(UsageError, match="parameter p1"):
        take(Shelf(WRITTEN, "surprise = 1"), "plan", "--cluster", "web")


def test_the_stack_writes_the_settings_of_its_run() -> None:
    stack = deployed(MaxUnavailable="2", Alarms="checkout-errors,web-*", BeforeDrainDocument="leave")
    written = tomllib.loads(stack.holdings["InstalledSettings"].properties["Value"])
    settings = written.pop(SETTINGS_PARAMETER)
    assert written["task-definition"] == stack.holdings["UpdaterTaskDefinition"].made.physical_id
    assert settings == stack.holdings["UpdaterSettings"].made.physical_id
    flags = stack.holdings["UpdaterTaskDefinition"].properties["ContainerDefinitions"][0]["Command"]
    given = dict(zip(flags[1::2], flags[2::2], strict=True))
    assert {f"--{key}": written[key] for key in written if f"--{key}" in given} == {
        flag: value for flag, value in given.items() if flag not in ("--cluster", "--region")
    }
    assert written["alarm"] == ["checkout-errors", "web-*"]
    assert (written["max-unavailable"], written["before-drain-document"]) == ("2", "leave")
    assert "drain-timeout" not in written
