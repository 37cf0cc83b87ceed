"""AWS data that only the operator's rules need: Auto Scaling groups, task definitions, task protection, alarms.

All calls are read-only. Each may be denied or not offered: the engine then skips the rule, or holds instances.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import failures, missing_in, moment
from bottlerocket_ecs_updater.aws.probe import PROBES_AT_ONCE, ask_probes
from bottlerocket_ecs_updater.aws.survey_shapes import (
    capacity_provider,
    group_name,
    machines_in,
    protected_until,
    task_definition,
    type_limits,
)
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import GROUPS_PER_CALL, chunks
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.core.model.auto_scaling import (
    InGroup,
    LifecycleState,
    Membership,
    NoGroup,
    refresh_active,
)
from bottlerocket_ecs_updater.core.model.calendars import CalendarClosed, CalendarOpen, CalendarState, CalendarUnread
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider, ProviderKind
from bottlerocket_ecs_updater.core.model.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Machine
from bottlerocket_ecs_updater.core.model.resources import Definition, TypeLimits
from bottlerocket_ecs_updater.core.model.time_text import since_text
from bottlerocket_ecs_updater.core.rules.health import ALARM_OK, AlarmRule
from bottlerocket_ecs_updater.errors import Denied

if TYPE_CHECKING:
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef, InstanceRefreshTypeDef
    from types_boto3_cloudwatch.literals import AlarmTypeType
    from types_boto3_cloudwatch.type_defs import DescribeAlarmsInputTypeDef
    from types_boto3_ec2.type_defs import DescribeInstancesRequestTypeDef, DescribeInstanceTypesRequestTypeDef
    from types_boto3_ecs.type_defs import CapacityProviderTypeDef, DescribeCapacityProvidersRequestTypeDef

ALARMS_MAX = 100
"""Limit of names for DescribeAlarms, and its page size."""

ALARM_TYPES: Sequence[AlarmTypeType] = ("MetricAlarm", "CompositeAlarm")
"""Without this filter, DescribeAlarms leaves out composite alarms."""

GROUP_INSTANCES_MAX = 50
"""Limit of ids for DescribeAutoScalingInstances."""

MACHINES_MAX = 200
"""Limit of values in one filter of DescribeInstances."""

PROTECTION_MAX = 100
"""Limit of tasks for GetTaskProtection."""

PROVIDERS_MAX = 100
"""Limit of names for DescribeCapacityProviders; it returns ten a page."""

TYPES_MAX = 100
"""Page size of DescribeInstanceTypes; a filter accepts twice as many values."""

PARAMETERS_MAX = 10
"""Limit of names for GetParameters."""

REFRESHES_ASKED = 10
"""Refreshes to read: the newest come first, and a group has one active refresh at a time."""


def _began(refreshes: Sequence[InstanceRefreshTypeDef]) -> datetime | None:
    return min((moment(start) for shape in refreshes if (start := shape.get("StartTime")) is not None), default=None)


def _alarm_state(state: str, changed: datetime | None) -> str:
    known = state != ALARM_OK and changed is not None
    return f"{state}{since_text(moment(changed))}" if known else state


def _time_in(text: str | None) -> datetime | None:
    """An ISO 8601 time; None if there is none, or if it cannot be parsed."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text or "")
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return None


class AwsSurvey:
    """Implements `engine.ports.Survey`."""

    def __init__(self, clients: Clients, api: Api, cluster: str) -> None:
        self._clients = clients
        self._api = api
        self._cluster = cluster

    def alarms(self, rules: Sequence[AlarmRule]) -> Mapping[str, str]:
        """The state of every alarm that a rule names, by name, with since when if it is not OK.

        Alarms with full names are read 100 a call.
        """
        states: dict[str, str] = {}
        for names in chunks(sorted({rule.name for rule in rules if not rule.prefix}), ALARMS_MAX):
            states |= self._states({"AlarmNames": names})
        for prefix in sorted({rule.name for rule in rules if rule.prefix}):
            states |= self._states({"AlarmNamePrefix": prefix})
        return states

    def _states(self, which: DescribeAlarmsInputTypeDef) -> Mapping[str, str]:
        request: DescribeAlarmsInputTypeDef = {**which, "AlarmTypes": ALARM_TYPES, "MaxRecords": ALARMS_MAX}

        method = self._clients.cloudwatch.looking.describe_alarms
        return {
            alarm.get("AlarmName", ""): _alarm_state(
                alarm.get("StateValue", ""), alarm.get("StateTransitionedTimestamp")
            )
            for reply in self._api.look_at_pages(Operation.DESCRIBE_ALARMS, "*", method, request, "NextToken")
            for alarm in (*reply.get("MetricAlarms", ()), *reply.get("CompositeAlarms", ()))
        }

    def calendar(self, arn: str) -> CalendarState:
        """Whether a change calendar is open now, and when that changes."""
        ask = self._clients.ssm.looking.get_calendar_state
        reply = self._api.look(Operation.GET_CALENDAR_STATE, arn, ask, CalendarNames=[arn])
        changes = _time_in(reply.get("NextTransitionTime"))
        state: str = reply.get("State", "")
        match state:
            case "OPEN":
                return CalendarOpen(changes)
            case "CLOSED":
                return CalendarClosed(changes)
            case other:
                return CalendarUnread(f"Systems Manager gave the state {other!r}")

    def published(self, parameters: Sequence[str]) -> Mapping[str, str]:
        """The values of these public parameters, by name; those that do not exist are left out."""
        found: dict[str, str] = {}
        ask = self._clients.ssm.looking.get_parameters
        for some in chunks(parameters, PARAMETERS_MAX):
            reply = self._api.look(Operation.GET_PARAMETERS, ", ".join(some), ask, Names=list(some))
            found |= {shape.get("Name", ""): shape.get("Value", "") for shape in reply.get("Parameters", ())}
        return found

    def probes(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Probe URLs, and return why each is not healthy. The lease is renewed in between, as before any other call."""
        unwell: dict[str, str] = {}
        for some in chunks(urls, PROBES_AT_ONCE):
            self._api.before_call(False)
            unwell |= ask_probes(some)
        return unwell

    def memberships(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Membership]:
        """Each instance's Auto Scaling group and lifecycle state, without refreshes."""
        found: dict[InstanceId, InGroup] = {}
        for some in chunks(instances, GROUP_INSTANCES_MAX):
            reply = self._api.look(
                Operation.DESCRIBE_AUTO_SCALING_INSTANCES,
                self._cluster,
                self._clients.autoscaling.looking.describe_auto_scaling_instances,
                InstanceIds=list(some),
            )
            for shape in reply.get("AutoScalingInstances", ()):
                state = LifecycleState.parse(shape.get("LifecycleState", ""))
                found[InstanceId(shape.get("InstanceId", ""))] = InGroup(shape.get("AutoScalingGroupName", ""), state)
        return {id_: found.get(id_, NoGroup()) for id_ in instances}

    def refreshing(self, groups: Sequence[str]) -> Mapping[str, datetime | None]:
        """Those of the groups with an active instance refresh, with when it started, if Auto Scaling says so."""
        active = {group: self._active_refreshes(group) for group in groups}
        return {group: _began(shapes) for group, shapes in active.items() if shapes}

    def _active_refreshes(self, group: str) -> Sequence[InstanceRefreshTypeDef]:
        reply = self._api.look(
            Operation.DESCRIBE_INSTANCE_REFRESHES,
            group,
            self._clients.autoscaling.looking.describe_instance_refreshes,
            AutoScalingGroupName=group,
            MaxRecords=REFRESHES_ASKED,
        )
        return [shape for shape in reply.get("InstanceRefreshes", ()) if refresh_active(str(shape.get("Status", "")))]

    def machines(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Machine]:
        """Describe these instances in EC2; one that EC2 does not know has an empty state.

        Uses a filter, because a list of ids fails as a whole if one is gone.
        """
        found: dict[InstanceId, Machine] = {}
        for some in chunks(instances, MACHINES_MAX):
            method = self._clients.ec2.looking.describe_instances
            request: DescribeInstancesRequestTypeDef = {"Filters": [{"Name": "instance-id", "Values": list(some)}]}
            replies = self._api.look_at_pages(Operation.DESCRIBE_INSTANCES, self._cluster, method, request, "NextToken")
            shown = {id_: machine for reply in replies for id_, machine in machines_in(reply)}
            found |= {id_: shown.get(id_, Machine("")) for id_ in some}
        return found

    def definition(self, arn: str) -> Definition:
        """What a task of this definition requires of an instance. A revision never changes."""
        reply = self._api.look(
            Operation.DESCRIBE_TASK_DEFINITION,
            arn,
            self._clients.ecs.looking.describe_task_definition,
            taskDefinition=arn,
        )
        return task_definition(reply.get("taskDefinition", {}))

    def providers(self, names: Sequence[str]) -> Mapping[str, CapacityProvider]:
        """These capacity providers by name, each with how many instances its Auto Scaling group may still launch.

        A provider that ECS does not mention is left out; one that ECS does not know is MISSING.
        """
        shapes: list[CapacityProviderTypeDef] = []
        missing: set[str] = set()
        method = self._clients.ecs.looking.describe_capacity_providers
        for some in chunks(sorted(names), PROVIDERS_MAX):
            # Managed Instances providers belong to a cluster, and ECS describes them only if the request names it.
            request: DescribeCapacityProvidersRequestTypeDef = {"cluster": self._cluster, "capacityProviders": some}
            for reply in self._api.look_at_pages(Operation.DESCRIBE_CAPACITY_PROVIDERS, self._cluster, method, request):
                shapes += reply.get("capacityProviders", ())
                failed = failures(reply.get("failures"))
                missing |= {arn.rsplit("/", 1)[-1] for arn in missing_in(failed)}
        groups = self._groups_by_name({group for shape in shapes if (group := group_name(shape))})
        found = {provider.name: provider for provider in (capacity_provider(shape, groups) for shape in shapes)}
        return {name: CapacityProvider(name, ProviderKind.MISSING) for name in missing} | found

    def _groups_by_name(self, names: Collection[str]) -> Mapping[str, AutoScalingGroupTypeDef]:
        """These Auto Scaling groups by name; empty if AWS denies the call."""
        found: dict[str, AutoScalingGroupTypeDef] = {}
        with suppress(Denied):
            for some in chunks(sorted(names), GROUPS_PER_CALL):
                reply = self._api.look(
                    Operation.DESCRIBE_AUTO_SCALING_GROUPS,
                    ", ".join(some),
                    self._clients.autoscaling.looking.describe_auto_scaling_groups,
                    AutoScalingGroupNames=list(some),
                    MaxRecords=GROUPS_PER_CALL,
                )
                found |= {shape.get("AutoScalingGroupName", ""): shape for shape in reply.get("AutoScalingGroups", ())}
        return found

    def type_limits(self, types: Sequence[str]) -> Mapping[str, TypeLimits]:
        """How many network interfaces and EBS volumes each instance type can have; unknown types are left out."""
        found: dict[str, TypeLimits] = {}
        for some in chunks(types, TYPES_MAX):
            method = self._clients.ec2.looking.describe_instance_types
            # Uses a filter, because a list of types fails as a whole if one does not exist.
            request: DescribeInstanceTypesRequestTypeDef = {
                "Filters": [{"Name": "instance-type", "Values": some}],
                "MaxResults": TYPES_MAX,
            }
            for reply in self._api.look_at_pages(
                Operation.DESCRIBE_INSTANCE_TYPES, self._cluster, method, request, "NextToken"
            ):
                for shape in reply.get("InstanceTypes", ()):
                    found[str(shape.get("InstanceType", ""))] = type_limits(shape)
        return found

    def protections(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime]:
        """The end of each task's protection; unprotected tasks are left out."""
        found: dict[TaskArn, datetime] = {}
        for some in chunks(tasks, PROTECTION_MAX):
            reply = self._api.look(
                Operation.GET_TASK_PROTECTION,
                self._cluster,
                self._clients.ecs.looking.get_task_protection,
                cluster=self._cluster,
                tasks=list(some),
            )
            for shape in reply.get("protectedTasks", ()):
                until = protected_until(shape)
                if until is not None:
                    found[TaskArn(shape.get("taskArn", ""))] = until
        return found
