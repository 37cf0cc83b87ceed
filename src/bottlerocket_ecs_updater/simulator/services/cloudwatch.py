"""The parts of CloudWatch that an updater reads: alarms and their states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import MAX_RECORDS_PAGES, list_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import WorldClock

NAMES_AT_ONCE = 100
ALARMS_PAGE_DEFAULT, ALARMS_PAGE_LARGEST = 50, 100
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")


@dataclass(slots=True)
class _Alarm:
    number: int
    name: str
    rule: str
    """The rule of a composite alarm; empty for a metric alarm."""
    state: str
    since: datetime
    changed: datetime
    """When its state last became another one."""
    reason: str = ""


class CloudWatch:
    """Alarms with states set by tests; no metrics change them."""

    def __init__(self, clock: WorldClock, names: Names) -> None:
        self._clock = clock
        self._names = names
        self._alarms: dict[str, _Alarm] = {}
        self._made = 0

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "DescribeAlarms": self.describe,
            "PutMetricAlarm": self.put,
            "PutCompositeAlarm": self.put,
            "SetAlarmState": self.set_state,
            "DeleteAlarms": self.delete,
        }

    @property
    def has_alarms(self) -> bool:
        """Whether the world has any alarms."""
        return bool(self._alarms)

    def set_alarm(self, name: str, state: str, *, rule: str = "") -> None:
        """Set an alarm's state; creates it if necessary. With a rule it is a composite alarm."""
        if name not in self._alarms:
            self._made += 1
            self._alarms[name] = _Alarm(self._made, name, rule, state, self._clock.now(), self._clock.now())
        alarm, now = self._alarms[name], self._clock.now()
        changed = now if alarm.state != state else alarm.changed
        alarm.state, alarm.since, alarm.changed = state, now, changed

    def put(self, request: Shape) -> Shape:
        """Create an alarm of either kind, which starts as INSUFFICIENT_DATA like real ones."""
        if request["AlarmName"] not in self._alarms:
            self.set_alarm(request["AlarmName"], "INSUFFICIENT_DATA", rule=request.get("AlarmRule", ""))
        return {}

    def set_state(self, request: Shape) -> Shape:
        """Set the state. In AWS it is temporary, here it is permanent."""
        if request["AlarmName"] not in self._alarms:
            raise AwsError("ResourceNotFound", f"Alarm {request['AlarmName']} does not exist", 404)
        if request["StateValue"] not in STATES:
            raise AwsError("ValidationError", f"StateValue must be one of {', '.join(STATES)}")
        self.set_alarm(request["AlarmName"], request["StateValue"])
        self._alarms[request["AlarmName"]].reason = request["StateReason"]
        return {}

    def delete(self, request: Shape) -> Shape:
        """Delete the named alarms."""
        for name in request["AlarmNames"]:
            self._alarms.pop(name, None)
        return {}

    def describe(self, request: Shape) -> Shape:
        """Alarms by names, prefix, type and state. Without types, composite alarms are left out."""
        names, prefix = request.get("AlarmNames"), request.get("AlarmNamePrefix")
        if names and prefix:
            raise AwsError("ValidationError", "AlarmNames and AlarmNamePrefix cannot be used together")
        if names is not None and len(names) > NAMES_AT_ONCE:
            raise AwsError("ValidationError", f"At most {NAMES_AT_ONCE} alarm names may be given")
        types = request.get("AlarmTypes") or ["MetricAlarm"]

        def wanted(alarm: _Alarm) -> bool:
            kind = "CompositeAlarm" if alarm.rule else "MetricAlarm"
            named = alarm.name in names if names else alarm.name.startswith(prefix or "")
            return named and kind in types and request.get("StateValue") in (None, alarm.state)

        found, more = list_page(
            self._alarms.values(),
            request,
            MAX_RECORDS_PAGES,
            ALARMS_PAGE_LARGEST,
            ALARMS_PAGE_DEFAULT,
            wanted,
        )
        return {
            "MetricAlarms": [self._metric(alarm) for alarm in found if not alarm.rule],
            "CompositeAlarms": [{**self._common(alarm), "AlarmRule": alarm.rule} for alarm in found if alarm.rule],
        } | more

    def _metric(self, alarm: _Alarm) -> Shape:
        return {
            **self._common(alarm),
            "MetricName": "Errors",
            "Namespace": "Simulated",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        }

    def _common(self, alarm: _Alarm) -> Shape:
        return {
            "AlarmName": alarm.name,
            "AlarmArn": self._names.arn("cloudwatch", f"alarm:{alarm.name}"),
            "ActionsEnabled": True,
            "StateValue": alarm.state,
            "StateReason": alarm.reason,
            "StateUpdatedTimestamp": alarm.since,
            "StateTransitionedTimestamp": alarm.changed,
        }
