"""`expedite` and `unexpedite`: roll a version out without delay, for example because it fixes a vulnerability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.version_acts import ActSettings, VersionWord, act, read_version
from bottlerocket_ecs_updater.core.model.shared import Expedite
from bottlerocket_ecs_updater.engine.store.shared_state import with_expedite


@Parameter(name="*", group="Act")
@dataclass(frozen=True, slots=True, kw_only=True)
class ExpediteSettings:
    """Where, why, and which other rules are skipped."""

    act: ActSettings
    ignore_windows: Annotated[bool, parameters.switch("Ignore maintenance windows too.")] = False
    ignore_freezes: Annotated[bool, parameters.switch("Ignore freezes too.")] = False


def expedite(version: VersionWord, /, *, settings: ExpediteSettings) -> int:
    """Skip minimum age, promotion and checkpoints for a version. Budgets, health checks, room and deny still apply."""
    which = read_version(version)
    also = [name for name, on in (("windows", settings.ignore_windows), ("freezes", settings.ignore_freezes)) if on]
    skips = ", ".join(["its age, promotion, checkpoints", *also])
    return act(
        settings.act,
        "expedite",
        which,
        f"expedited {which}: it skips {skips}",
        lambda acts, made: with_expedite(
            acts,
            which,
            Expedite(made.who, made.at, made.why, settings.ignore_windows, settings.ignore_freezes),
        ),
        lambda made: f"{which} is expedited {made}. It skips: {skips}",
        lambda acts: acts.said.expedited.get(which),
    )


def unexpedite(version: VersionWord, /, *, settings: ActSettings) -> int:
    """Apply minimum age, promotion and checkpoints to a version again."""
    which = read_version(version)
    return act(
        settings,
        "unexpedite",
        which,
        f"undid the expedite of {which}",
        lambda acts, _: with_expedite(acts, which, None),
        lambda _: f"{which} is no longer expedited",
    )
