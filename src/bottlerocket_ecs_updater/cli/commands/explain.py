"""`explain`: everything that is known about one instance, and the result of each rule."""

from __future__ import annotations

import json
import os
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.commands.plan import look
from bottlerocket_ecs_updater.cli.settings.settings import OutputFormat, RunSettings
from bottlerocket_ecs_updater.cli.wiring import wire
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.errors import UsageError
from bottlerocket_ecs_updater.report.views.explanation import explanation_json, explanation_text


def explain(
    instance: Annotated[str, Parameter(help="An EC2 instance id.", metavar="INSTANCE")],
    /,
    *,
    settings: RunSettings,
    form: OutputFormat = "text",
) -> int:
    """Explain why an instance is, or is not, updated: all known facts, and the result of every rule."""
    wired = wire(settings, os.environ)
    fleet = look(wired, settings.policy)
    known = fleet.instances.get(InstanceId(instance))
    if known is None:
        raise UsageError(
            f"{instance} is not in cluster {wired.cluster_name}, which has {len(fleet.instances)} instances"
        )
    explanation = explain_instance(known, fleet, settings.policy)
    if form == "json":
        text = json.dumps(explanation_json(explanation, fleet, wired.cluster_name), indent=1) + "\n"
    else:
        text = explanation_text(explanation, fleet, wired.cluster_name)
    print(text, end="")
    return 0
