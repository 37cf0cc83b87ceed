"""`plan`: what `run` would do now. It looks and checks, and changes nothing."""

from __future__ import annotations

import json
import os
from typing import Annotated, Literal

from bottlerocket_ecs_updater.cli import kinds
from bottlerocket_ecs_updater.cli.settings import RunSettings
from bottlerocket_ecs_updater.cli.wiring import wire
from bottlerocket_ecs_updater.core.plan import plan as plan_of
from bottlerocket_ecs_updater.engine.planning import take_picture
from bottlerocket_ecs_updater.report.plan import plan_json, plan_text

Form = Literal["text", "json"]


def plan(
    *,
    settings: RunSettings,
    form: Annotated[Form, kinds.choice("Form of the plan.", "text", "json", name="--format")] = "text",
) -> int:
    """Say what `run` would do now, in order, and what it would leave alone, and why; change nothing."""
    wired = wire(settings, os.environ)
    fleet = take_picture(
        wired.cluster,
        wired.hosts,
        wired.clock,
        settings.policy,
        wired.ledger,
        store=wired.store,
        cluster_name=wired.cluster_name,
    )
    planned = plan_of(fleet, settings.policy)
    if form == "json":
        text = json.dumps(plan_json(planned, wired.cluster_name), indent=1) + "\n"
    else:
        text = plan_text(planned, wired.cluster_name)
    print(text, end="")  # noqa: T201 - the plan itself
    return 0
