"""A complete command line, to which a test adds the settings that it is about."""

from __future__ import annotations

import pytest

from bottlerocket_ecs_updater.cli.settings.settings import RunSettings, load
from bottlerocket_ecs_updater.errors import UsageError

PREFIX = "BOTTLEROCKET_ECS_UPDATER_"
DOCUMENTS = ("--check-document", "look", "--apply-document", "stage", "--reboot-document", "boot")
COMPLETE = ("--cluster", "web", *DOCUMENTS)


def settings(*tokens: str, **variables: str) -> RunSettings:
    """The settings of `run` from a complete command line, further tokens, and variables without their prefix."""
    return load([*COMPLETE, *tokens], {PREFIX + name: value for name, value in variables.items()})


def refusal(*tokens: str, **variables: str) -> str:
    """The error message for these settings."""
    with pytest.raises(UsageError) as refused:
        settings(*tokens, **variables)
    return refused.value.message
