"""The examples on the policy page can be pasted, and name only settings that exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from bottlerocket_ecs_updater.cli.settings.settings import RunSettings, load
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.rules.selection import OPT_OUT_ATTRIBUTE

OPERATE = Path(__file__).parents[2] / "docs" / "operate"
PAGE = (OPERATE / "policy.md").read_text(encoding="utf-8")
PLAN = (OPERATE / "plan.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
OF_HOSTS = [block for block in BLOCKS if "[settings." in block]
OF_OURS = [block for block in BLOCKS if block not in OF_HOSTS]
NEEDED = {
    "cluster": "production",
    "check-document": "check",
    "apply-document": "apply",
    "reboot-document": "reboot",
    "state": "s3://bucket/prefix",
}
FLAGS = [part for name, value in NEEDED.items() for part in (f"--{name}", value)]


def settings(text: str, folder: Path) -> RunSettings:
    """The settings that a file of that text gives, with what every run needs."""
    given = tomllib.loads(text)
    needed = [f'{name} = "{value}"' for name, value in NEEDED.items() if name not in given]
    file = folder / "settings.toml"
    file.write_text("\n".join([*needed, text]), encoding="utf-8")
    return load(["--config", str(file)], {})


@pytest.mark.parametrize("block", OF_OURS, ids=lambda block: block.split(" ", 1)[0])
def test_every_example_is_understood_and_makes_a_difference(block: str, tmp_path: Path) -> None:
    assert settings(block, tmp_path).policy != load(FLAGS, {}).policy


def test_each_setting_of_the_policy_has_an_example() -> None:
    shown = {name for block in OF_OURS for name in tomllib.loads(block)}
    from bottlerocket_ecs_updater.cli.settings.policy_settings import RuleSettings  # noqa: PLC0415 - the names alone

    health = {"alarm", "probe", "before-drain", "after-reboot"}
    names = {name.replace("_", "-") for name in RuleSettings.__dataclass_fields__} - health
    assert names - shown == set()


def test_flags_and_variables_of_the_page_mean_the_same_as_its_file() -> None:
    line = next(line for line in PAGE.splitlines() if "--exclude i-" in line).partition("… ")[2]
    variable = next(line for line in PAGE.splitlines() if line.startswith("$ export ")).removeprefix("$ export ")
    name, _, value = variable.partition("=")
    by_flags = load([*FLAGS, *shlex.split(line)], {}).policy
    assert by_flags == load(FLAGS, {name: value.strip('"')}).policy
    assert len(by_flags.rules.selection.exclude) == 2


def test_a_host_can_opt_out_with_the_commands_of_the_page() -> None:
    (block,) = OF_HOSTS
    attributes = tomllib.loads(block)["settings"]["ecs"]["instance-attributes"]
    assert attributes == {OPT_OUT_ATTRIBUTE: "true"}


def test_the_page_names_the_reason_of_every_rule() -> None:
    codes = {reason.code for reason in Reason}
    named = {word for word in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", PAGE) if word in codes}
    rules = {
        Reason.WINDOW_CLOSED,
        Reason.CUTOFF,
        Reason.FROZEN,
        Reason.CALENDAR_CLOSED,
        Reason.CALENDAR_CUTOFF,
        Reason.CALENDAR_UNKNOWN,
        Reason.PAUSED,
        Reason.NOT_PUBLISHED,
        Reason.VERSION_WITHDRAWN,
        Reason.PUBLISHED_UNKNOWN,
        Reason.VERSION_DENIED,
        Reason.VERSION_NOT_PINNED,
        Reason.VERSION_NOT_ALLOWED,
        Reason.VERSION_TOO_YOUNG,
        Reason.VERSION_NEW,
        Reason.DOWNGRADE_HELD,
        Reason.OPTED_OUT,
        Reason.EXCLUDED,
        Reason.NOT_INCLUDED,
        Reason.LEAVING_GROUP,
        Reason.GROUP_REFRESHING,
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.SETTLING,
        Reason.CHECKPOINT_FULL,
        Reason.CHECKPOINT_WAIT,
        Reason.CHECKPOINT_FAILED,
        Reason.DAILY_LIMIT,
        Reason.STANDALONE_TASK,
        Reason.TASK_HELD,
        Reason.TASK_PROTECTED,
        Reason.SERVICE_DEPLOYING,
        Reason.NO_ROOM,
        Reason.DRAIN_TIMED_OUT,
        Reason.OWN_HOST,
        Reason.OWN_HOST_LAST,
        Reason.HANDED_OVER,
    }
    assert {reason.code for reason in rules} - named == set()


def test_the_plan_page_names_the_stated_defaults_that_there_are() -> None:
    from bottlerocket_ecs_updater.core.rules.pace import STATED  # noqa: PLC0415 - the numbers alone

    minutes = [round(span.total_seconds() / 60) for span in (STATED.stage, STATED.drain, STATED.reboot)]
    stage, drain, reboot = minutes
    assert f"{stage} minutes to stage, {drain} to drain, {reboot} to reboot and verify" in PLAN
