"""`promote` and `unpromote`: admit a version to stages that still wait for others, or undo that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.version_acts import ActSettings, VersionWord, act, read_version
from bottlerocket_ecs_updater.core.model.shared import Promotion
from bottlerocket_ecs_updater.core.rules.promotion import read_stage
from bottlerocket_ecs_updater.engine.store.shared_state import with_promotion


@Parameter(name="*", group="Act")
@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteSettings:
    """Where, why, and to which stages."""

    act: ActSettings
    to: Annotated[
        tuple[str, ...],
        parameters.several(
            "Promote only to these stages. Default: all.",
            read_stage,
            "the name of a stage, such as production",
            "STAGE",
        ),
    ] = ()


def promote(version: VersionWord, /, *, settings: PromoteSettings) -> int:
    """Let clusters update to a version without waiting for other stages. All other rules still apply."""
    which = read_version(version)
    where = f"stage {', '.join(settings.to)}" if settings.to else "every stage"
    return act(
        settings.act,
        "promote",
        which,
        f"promoted {which} to {where}",
        lambda acts, made: with_promotion(acts, which, Promotion(made.who, made.at, made.why, settings.to)),
        lambda made: f"{which} is promoted to {where} {made}",
        lambda acts: acts.said.promoted.get(which),
    )


def unpromote(version: VersionWord, /, *, settings: ActSettings) -> int:
    """Undo a promotion: clusters wait for other stages again. Updated instances stay updated."""
    which = read_version(version)
    return act(
        settings,
        "unpromote",
        which,
        f"undid the promotion of {which}",
        lambda acts, _: with_promotion(acts, which, None),
        lambda _: f"{which} is no longer promoted",
    )
