"""The settings that are the operator's policy: when, what, where and how fast.

A setting that may be given several times may also be written as a list in a file, or with `;` between in one text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters as kinds
from bottlerocket_ecs_updater.cli.settings.parsing import SettingsConflict
from bottlerocket_ecs_updater.core.rules.calendars import read_calendar
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint, Checkpoints
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules, read_probe
from bottlerocket_ecs_updater.core.rules.policy import OwnHost
from bottlerocket_ecs_updater.core.rules.promotion import SILENT_AFTER, Requirement, StageRules, read_stage
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, Selector, parse_selector
from bottlerocket_ecs_updater.core.rules.tasks import TaskRule, TaskRules
from bottlerocket_ecs_updater.core.rules.versions import Downgrades, ReleaseRules, VersionRange
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
        kinds.several(
            "Maintenance window: nothing begins outside, nor what would not end within. Several are a union.",
            Window.parse,
            "days, start, duration and time zone, such as 'Sat,Sun 02:00 4h Europe/Berlin' or 'daily 22:00 6h UTC'",
            "WINDOW",
        ),
    ] = ()
    freeze: Annotated[
        tuple[Freeze, ...],
        kinds.several(
            "Dates on which nothing begins, both ends included.",
            Freeze.parse,
            "dates and time zone, such as '2026-12-20..2027-01-03 Europe/Berlin'",
            "FREEZE",
        ),
    ] = ()
    change_calendar: Annotated[
        tuple[str, ...],
        kinds.several(
            "Change calendar of Systems Manager that must be open; nothing begins that would not end before it closes.",
            read_calendar,
            "an ARN such as arn:aws:ssm:us-east-1:123456789012:document/company-changes",
            "ARN",
        ),
    ] = ()
    pin: Annotated[
        VersionRange | None, kinds.parsed("Only these versions are taken.", VersionRange.parse, _RANGE, "VERSIONS")
    ] = None
    allow: Annotated[
        tuple[VersionRange, ...],
        kinds.several("Only versions in one of these are taken.", VersionRange.parse, _RANGE, "VERSIONS"),
    ] = ()
    deny: Annotated[
        tuple[VersionRange, ...],
        kinds.several("Versions that are never taken, whatever else is said.", VersionRange.parse, _RANGE, "VERSIONS"),
    ] = ()
    minimum_age: Annotated[
        timedelta,
        kinds.duration(
            "A version is taken so long after it was first seen in a cluster that shares the state store.",
            NOTHING,
            YEAR,
        ),
    ] = NOTHING
    downgrades: Annotated[
        Literal["follow", "hold"],
        kinds.choice("What to do where a repository went back to an older version.", "follow", "hold"),
    ] = "follow"
    include: Annotated[
        tuple[Selector, ...], kinds.several("Only these instances are updated.", parse_selector, _SELECTOR, "WHERE")
    ] = ()
    exclude: Annotated[
        tuple[Selector, ...], kinds.several("These instances are left alone.", parse_selector, _SELECTOR, "WHERE")
    ] = ()
    checkpoints: Annotated[
        tuple[Checkpoint, ...],
        kinds.several(
            "Instances after which the roll of a version waits, the first of them the canaries.",
            Checkpoint.parse,
            "ascending numbers or percentages, such as 1,10%,50%,100%",
            "CHECKPOINTS",
            separator=",",
        ),
    ] = ()
    checkpoint_wait: Annotated[timedelta, kinds.duration("Wait at each checkpoint.", NOTHING)] = timedelta(hours=1)
    max_per_day: Annotated[int | None, kinds.count("Instances that may begin in any 24 hours.")] = None
    task: Annotated[
        tuple[TaskRule, ...],
        kinds.several(
            "What becomes of tasks that draining does not move; without a rule a standalone task holds its instance.",
            TaskRule.parse,
            "a family or group with 'hold', 'wait 4h' (then it is given back) or 'stop 30m' (then it is stopped)",
            "RULE",
        ),
    ] = ()
    deployments: Annotated[
        Literal["hold", "ignore"],
        kinds.choice("Whether a deployment of a service in progress holds the next drain.", "hold", "ignore"),
    ] = "hold"
    alarm: Annotated[
        tuple[AlarmRule, ...],
        kinds.several(
            "CloudWatch alarm that must be OK before the next drain and while services settle; * ends a prefix.",
            AlarmRule.parse,
            "the name of an alarm, or a prefix such as 'checkout-*'",
            "ALARM",
        ),
    ] = ()
    probe: Annotated[
        tuple[str, ...],
        kinds.several(
            "URL that must answer a GET with a status of success, asked when the alarms are.",
            read_probe,
            "an http:// or https:// address",
            "URL",
        ),
    ] = ()
    room: Annotated[
        Literal["check", "ignore"],
        kinds.choice("Whether an instance is held whose tasks have nowhere to go.", "check", "ignore"),
    ] = "check"
    own_host: Annotated[
        OwnHost,
        kinds.choice_of(
            "What a run does that runs on an instance of the cluster itself: leave that one to a run elsewhere, "
            "or have one started when all others are done.",
            OwnHost,
        ),
    ] = OwnHost.HOLD

    stage: Annotated[
        str | None,
        kinds.parsed(
            "The stage that this cluster belongs to, for clusters that share the state store.",
            read_stage,
            "a name of letters, digits, dots, dashes and underscores, such as staging",
            "STAGE",
        ),
    ] = None
    promoted_by: Annotated[
        tuple[Requirement, ...],
        kinds.several(
            "A version is taken when every cluster of that stage has finished it and stayed healthy for so long.",
            Requirement.parse,
            "a stage and a time, such as 'staging for 7d'",
            "STAGE for DURATION",
        ),
    ] = ()
    silent_after: Annotated[
        timedelta,
        kinds.duration(
            "A cluster that no run has looked at for longer counts as not healthy for promotion.",
            timedelta(minutes=1),
            YEAR,
        ),
    ] = SILENT_AFTER
    ignore_silent: Annotated[
        bool, kinds.switch("Leave silent clusters out, instead of letting them hold every version.")
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
        """The rules as decisions ask them."""
        return Rules(
            selection=Selection(self.include, self.exclude),
            releases=ReleaseRules(self.pin, self.allow, self.deny, self.minimum_age, Downgrades(self.downgrades)),
            schedule=Schedule(self.window, self.freeze),
            checkpoints=self._checkpoints(),
            tasks=TaskRules(self.task, self.deployments == "hold"),
            check_room=self.room == "check",
            health=HealthRules(self.alarm, self.probe),
            stages=self._stages(),
            calendars=self.change_calendar,
        )
