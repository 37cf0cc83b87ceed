"""The settings of the operator's policy: when, what, where and how fast.

A setting with several values can be repeated, written as a list in a file, or separated by `;` in one text.
"""

# No `from __future__ import annotations`: cyclopts would evaluate each annotation again whenever it parses, and every
# command would start some milliseconds later.

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parsing import SettingsConflict
from bottlerocket_ecs_updater.core.rules.calendars import read_calendar
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint, Checkpoints
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules, read_probe
from bottlerocket_ecs_updater.core.rules.policy import OwnHost
from bottlerocket_ecs_updater.core.rules.promotion import SILENT_AFTER, Requirement, StageRules, read_stage
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, Selector, parse_selector
from bottlerocket_ecs_updater.core.rules.tasks import TaskRule, TaskRules
from bottlerocket_ecs_updater.core.rules.versions import Downgrades, VersionRange, VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Freeze, Schedule, Window

NOTHING = timedelta()
YEAR = timedelta(days=365)

_RANGE = "versions such as 1.26.0, 1.26.* or '>=1.20,<1.26'"
_SELECTOR = (
    "an instance id, capacity-provider:NAME, auto-scaling-group:NAME (* stands for any characters), or an expression "
    "of ECS's query language such as 'attribute:ring == prod'"
)


@Parameter(name="*", group="Policy")
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """When, what, where and how fast."""

    window: Annotated[
        tuple[Window, ...],
        parameters.several(
            "Maintenance window. Updates start only inside a window, and only if they should finish before it closes. "
            "Repeatable.",
            Window.parse,
            "days, start, duration and time zone, such as 'Sat,Sun 02:00 4h Europe/Berlin' or 'daily 22:00 6h UTC'",
            "WINDOW",
        ),
    ] = ()
    freeze: Annotated[
        tuple[Freeze, ...],
        parameters.several(
            "Dates on which no update starts, first and last included.",
            Freeze.parse,
            "dates and time zone, such as '2026-12-20..2027-01-03 Europe/Berlin'",
            "FREEZE",
        ),
    ] = ()
    change_calendar: Annotated[
        tuple[str, ...],
        parameters.several(
            "Systems Manager change calendar that must be open. Updates must be able to finish before it closes.",
            read_calendar,
            "an ARN such as arn:aws:ssm:us-east-1:123456789012:document/company-changes",
            "ARN",
        ),
    ] = ()
    pin: Annotated[
        VersionRange | None, parameters.parsed("Update only to these versions.", VersionRange.parse, _RANGE, "VERSIONS")
    ] = None
    allow: Annotated[
        tuple[VersionRange, ...],
        parameters.several("Update only to versions in one of these ranges.", VersionRange.parse, _RANGE, "VERSIONS"),
    ] = ()
    deny: Annotated[
        tuple[VersionRange, ...],
        parameters.several(
            "Never update to these versions. Overrides every other rule.", VersionRange.parse, _RANGE, "VERSIONS"
        ),
    ] = ()
    minimum_age: Annotated[
        timedelta,
        parameters.duration(
            "Wait this long after a version was first seen in any cluster that shares the state store.",
            NOTHING,
            YEAR,
        ),
    ] = NOTHING
    published_only: Annotated[
        bool,
        parameters.switch(
            "Update only to versions that AWS publishes in the public parameters of Bottlerocket, in Systems Manager."
        ),
    ] = False
    downgrades: Annotated[
        Literal["follow", "hold"],
        parameters.choice("What to do when the update repository offers an older version.", "follow", "hold"),
    ] = "follow"
    include: Annotated[
        tuple[Selector, ...], parameters.several("Update only these instances.", parse_selector, _SELECTOR, "WHERE")
    ] = ()
    exclude: Annotated[
        tuple[Selector, ...], parameters.several("Leave these instances alone.", parse_selector, _SELECTOR, "WHERE")
    ] = ()
    checkpoints: Annotated[
        tuple[Checkpoint, ...],
        parameters.several(
            "Wait after this many instances have been updated to a version; the first are the canaries.",
            Checkpoint.parse,
            "ascending numbers or percentages, such as 1,10%,50%,100%",
            "CHECKPOINTS",
            separator=",",
        ),
    ] = ()
    checkpoint_wait: Annotated[timedelta, parameters.duration("How long to wait at each checkpoint.", NOTHING)] = (
        timedelta(hours=1)
    )
    max_per_day: Annotated[int | None, parameters.integer("How many instances may be drained in any 24 hours.")] = None
    task: Annotated[
        tuple[TaskRule, ...],
        parameters.several(
            "What to do about tasks that a drain does not move. Without a rule, a standalone task holds its instance.",
            TaskRule.parse,
            "a family or group with 'hold', 'wait 4h' (then return the instance) or 'stop 30m' (then stop the task)",
            "RULE",
        ),
    ] = ()
    deployments: Annotated[
        Literal["hold", "ignore"],
        parameters.choice(
            "Whether a deployment in progress holds the instances that run tasks of its service.", "hold", "ignore"
        ),
    ] = "hold"
    alarm: Annotated[
        tuple[AlarmRule, ...],
        parameters.several(
            "CloudWatch alarm that must be OK before the next drain and while services settle. End a prefix with *.",
            AlarmRule.parse,
            "the name of an alarm, or a prefix such as 'checkout-*'",
            "ALARM",
        ),
    ] = ()
    probe: Annotated[
        tuple[str, ...],
        parameters.several(
            "URL that must answer GET with a success status, checked together with the alarms.",
            read_probe,
            "an http:// or https:// address",
            "URL",
        ),
    ] = ()
    room: Annotated[
        Literal["check", "ignore"],
        parameters.choice("Whether an instance is held if its tasks have no room elsewhere.", "check", "ignore"),
    ] = "check"
    own_host: Annotated[
        OwnHost,
        parameters.choice_of(
            "What to do about the instance that the updater's own task runs on: leave it to another run, or start "
            "another run for it once all others are done.",
            OwnHost,
        ),
    ] = OwnHost.HOLD

    stage: Annotated[
        str | None,
        parameters.parsed(
            "Stage of this cluster, for clusters that share the state store.",
            read_stage,
            "a name of letters, digits, dots, dashes and underscores, such as staging",
            "STAGE",
        ),
    ] = None
    promoted_by: Annotated[
        tuple[Requirement, ...],
        parameters.several(
            "Update to a version only after every cluster of that stage has run it and stayed healthy for this long.",
            Requirement.parse,
            "a stage and a time, such as 'staging for 7d'",
            "STAGE for DURATION",
        ),
    ] = ()
    silent_after: Annotated[
        timedelta,
        parameters.duration(
            "A cluster without a run for this long counts as not healthy for promotion.",
            timedelta(minutes=1),
            YEAR,
        ),
    ] = SILENT_AFTER
    ignore_silent: Annotated[bool, parameters.switch("Ignore silent clusters; by default they hold every version.")] = (
        False
    )
    finish_only: Annotated[
        bool, parameters.switch("Finish updates that were started earlier, and start none. Hosts are still checked.")
    ] = False

    def __post_init__(self) -> None:
        for make, name in ((self._checkpoints, "checkpoints"), (self._stages, "promoted-by")):
            try:
                make()
            except ValueError as error:
                raise SettingsConflict(str(error), (name,)) from error

    def _stages(self) -> StageRules:
        return StageRules(self.stage or "", self.promoted_by, self.silent_after, self.ignore_silent)

    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.checkpoints, self.checkpoint_wait, self.max_per_day)

    @property
    def rules(self) -> Rules:
        """The rules, as the decision uses them."""
        return Rules(
            selection=Selection(self.include, self.exclude),
            versions=VersionRules(
                self.pin, self.allow, self.deny, self.minimum_age, Downgrades(self.downgrades), self.published_only
            ),
            schedule=Schedule(self.window, self.freeze),
            checkpoints=self._checkpoints(),
            tasks=TaskRules(self.task, self.deployments == "hold"),
            check_room=self.room == "check",
            health=HealthRules(self.alarm, self.probe),
            stages=self._stages(),
            calendars=self.change_calendar,
            finish_only=self.finish_only,
        )
