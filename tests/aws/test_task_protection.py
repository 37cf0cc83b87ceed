"""Reading until when a task is protected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bottlerocket_ecs_updater.aws.survey_shapes import protected_until
from bottlerocket_ecs_updater.core.model.time_text import LATEST

ENDS = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shape", "until"),
    [
        ({"protectionEnabled": True, "expirationDate": ENDS}, ENDS),
        ({"protectionEnabled": True}, LATEST),
        ({"protectionEnabled": False, "expirationDate": ENDS}, None),
        ({}, None),
    ],
)
def test_a_protected_task_without_an_end_is_protected_for_an_unknown_time(shape: Any, until: datetime | None) -> None:
    assert protected_until(shape) == until
