"""AWS data that only the operator's rules need: Auto Scaling groups, task definitions, task protection, alarms.

All calls are read-only. Each may be denied or not offered: the engine then skips the rule, or holds instances.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import failures, moment
from bottlerocket_ecs_updater.aws.probe import PROBES_AT_ONCE, ask_probes
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients, Pair
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
from bottlerocket_ecs_updater.core.model.resources import Definition, Port, TaskRequirements
from bottlerocket_ecs_updater.core.rules.health import AlarmRule
from bottlerocket_ecs_updater.errors import Denied

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.literals import AlarmTypeType
    from types_boto3_cloudwatch.type_defs import DescribeAlarmsInputTypeDef, DescribeAlarmsOutputTypeDef
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import (
        DescribeInstancesRequestTypeDef,
        DescribeInstancesResultTypeDef,
        DescribeInstanceTypesRequestTypeDef,
        DescribeInstanceTypesResultTypeDef,
        FilterTypeDef,
    )
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import (
        CapacityProviderTypeDef,
        ContainerDefinitionOutputTypeDef,
        DescribeCapacityProvidersRequestTypeDef,
        DescribeCapacityProvidersResponseTypeDef,
        TaskDefinitionTypeDef,
    )
    from types_boto3_ssm import SSMClient

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

GROUPS_MAX = 50
"""Names per DescribeAutoScalingGroups, so that the reply fits on one page."""

TYPES_MAX = 100
"""Page size of DescribeInstanceTypes; a filter accepts twice as many values."""

PARAMETERS_MAX = 10
"""Limit of names for GetParameters."""

MISSING = "MISSING"

REFRESHES_ASKED = 10
"""Refreshes to read: the newest come first, and a group has one active refresh at a time."""

DEFAULT_CONTAINER_MEMORY = 0
AWSVPC = "awsvpc"


def _time_in(text: str | None) -> datetime | None:
    """A time in the form of ISO 8601, None where there is none, or none that can be read."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text or "")
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return None


class AwsSurvey:
    """Implements `engine.ports.Survey`."""

    def __init__(
        self,
        ecs: Pair[ECSClient],
        groups: Pair[AutoScalingClient],
        alarms: Pair[CloudWatchClient],
        api: Api,
        cluster: str,
        ec2: Pair[EC2Client] | None = None,
        ssm: Pair[SSMClient] | None = None,
    ) -> None:
        self._ssm = ssm
        self._ec2 = ec2
        self._ecs = ecs
        self._groups = groups
        self._alarms = alarms
        self._api = api
        self._cluster = cluster

    @classmethod
    def of(cls, clients: Clients, api: Api, cluster: str) -> AwsSurvey:
        """Use the clients of a run. Each client is created on first use."""
        return cls(clients.ecs, clients.autoscaling, clients.cloudwatch, api, cluster, clients.ec2, clients.ssm)

    def alarms(self, rules: Sequence[AlarmRule]) -> Mapping[str, str]:
        """The state of every alarm that a rule names, by name. Alarms with full names are read 100 a call."""
        states: dict[str, str] = {}
        for names in chunks(sorted({rule.name for rule in rules if not rule.prefix}), ALARMS_MAX):
            states |= self._states({"AlarmNames": names})
        for prefix in sorted({rule.name for rule in rules if rule.prefix}):
            states |= self._states({"AlarmNamePrefix": prefix})
        return states

    def _states(self, which: DescribeAlarmsInputTypeDef) -> Mapping[str, str]:
        request: DescribeAlarmsInputTypeDef = {**which, "AlarmTypes": ALARM_TYPES, "MaxRecords": ALARMS_MAX}

        def ask(token: str | None) -> DescribeAlarmsOutputTypeDef:
            asked: DescribeAlarmsInputTypeDef = {**request, "NextToken": token} if token else request
            return self._api.look(Operation.DESCRIBE_ALARMS, "*", self._alarms.looking.describe_alarms, **asked)

        return {
            alarm.get("AlarmName", ""): str(alarm.get("StateValue", ""))
            for reply in pages(ask, lambda reply: reply.get("NextToken"))
            for alarm in (*reply.get("MetricAlarms", ()), *reply.get("CompositeAlarms", ()))
        }

    def calendar(self, arn: str) -> CalendarState:
        """Whether a change calendar is open now, and when that changes."""
        if self._ssm is None:
            return CalendarUnread("this caller does not ask Systems Manager")
        ask = self._ssm.looking.get_calendar_state
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
        if self._ssm is None:
            return found
        ask = self._ssm.looking.get_parameters
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

    def memberships(
        self, instances: Sequence[InstanceId], *, refreshes: bool = True
    ) -> Mapping[InstanceId, Membership]:
        """Each instance's Auto Scaling group and lifecycle state; with `refreshes`, whether a refresh is active."""
        found: dict[InstanceId, tuple[str, LifecycleState]] = {}
        for some in chunks(instances, GROUP_INSTANCES_MAX):
            reply = self._api.look(
                Operation.DESCRIBE_AUTO_SCALING_INSTANCES,
                self._cluster,
                self._groups.looking.describe_auto_scaling_instances,
                InstanceIds=list(some),
            )
            for shape in reply.get("AutoScalingInstances", ()):
                state = LifecycleState.parse(shape.get("LifecycleState", ""))
                found[InstanceId(shape.get("InstanceId", ""))] = shape.get("AutoScalingGroupName", ""), state
        groups = sorted({group for group, _ in found.values()}) if refreshes else ()
        refreshing = {group: self._refreshing(group) for group in groups}
        return {
            id_: InGroup(*found[id_], refreshing.get(found[id_][0], False)) if id_ in found else NoGroup()
            for id_ in instances
        }

    def _refreshing(self, group: str) -> bool:
        reply = self._api.look(
            Operation.DESCRIBE_INSTANCE_REFRESHES,
            group,
            self._groups.looking.describe_instance_refreshes,
            AutoScalingGroupName=group,
            MaxRecords=REFRESHES_ASKED,
        )
        return any(refresh_active(str(shape.get("Status", ""))) for shape in reply.get("InstanceRefreshes", ()))

    def machines(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Machine]:
        """Describe these instances in EC2; one that EC2 does not know has an empty state.

        Uses a filter, because a list of ids fails as a whole if one is gone.
        """
        found: dict[InstanceId, Machine] = {}
        for some in chunks(instances, MACHINES_MAX) if self._ec2 is not None else ():
            filters: Sequence[FilterTypeDef] = [{"Name": "instance-id", "Values": list(some)}]
            shown = {id_: machine for shape in self._shown(filters) for id_, machine in machines_in(shape)}
            found |= {id_: shown.get(id_, Machine("")) for id_ in some}
        return found

    def _shown(self, filters: Sequence[FilterTypeDef]) -> Iterable[DescribeInstancesResultTypeDef]:
        def ask(token: str | None) -> DescribeInstancesResultTypeDef:
            assert self._ec2 is not None
            method = self._ec2.looking.describe_instances
            request: DescribeInstancesRequestTypeDef = {"Filters": filters}
            asked: DescribeInstancesRequestTypeDef = {**request, "NextToken": token} if token else request
            return self._api.look(Operation.DESCRIBE_INSTANCES, self._cluster, method, **asked)

        return pages(ask, lambda reply: reply.get("NextToken"))

    def definition(self, arn: str) -> Definition:
        """What a task of this definition requires of an instance. A revision never changes."""
        reply = self._api.look(
            Operation.DESCRIBE_TASK_DEFINITION,
            arn,
            self._ecs.looking.describe_task_definition,
            taskDefinition=arn,
        )
        return definition(reply.get("taskDefinition", {}))

    def providers(self, names: Sequence[str]) -> Mapping[str, CapacityProvider]:
        """These capacity providers by name, each with how many instances its Auto Scaling group may still launch.

        A provider that ECS does not mention is left out; one that ECS does not know is MISSING.
        """
        shapes: list[CapacityProviderTypeDef] = []
        missing: set[str] = set()
        for some in chunks(sorted(names), PROVIDERS_MAX):
            for reply in self._provider_pages(some):
                shapes += reply.get("capacityProviders", ())
                failed = failures(reply.get("failures"))
                missing |= {arn.rsplit("/", 1)[-1] for arn, why in failed.items() if why.startswith(MISSING)}
        groups = self._groups_by_name({group for shape in shapes if (group := _group_of(shape))})
        found = {provider.name: provider for provider in (capacity_provider(shape, groups) for shape in shapes)}
        return {name: CapacityProvider(name, ProviderKind.MISSING) for name in missing} | found

    def _provider_pages(self, names: Sequence[str]) -> Iterable[DescribeCapacityProvidersResponseTypeDef]:
        # Managed Instances providers belong to a cluster, and ECS describes them only if the request names it.
        request: DescribeCapacityProvidersRequestTypeDef = {"cluster": self._cluster, "capacityProviders": list(names)}

        def ask(token: str | None) -> DescribeCapacityProvidersResponseTypeDef:
            asked: DescribeCapacityProvidersRequestTypeDef = {**request, "nextToken": token} if token else request
            method = self._ecs.looking.describe_capacity_providers
            return self._api.look(Operation.DESCRIBE_CAPACITY_PROVIDERS, self._cluster, method, **asked)

        return pages(ask, lambda reply: reply.get("nextToken"))

    def _groups_by_name(self, names: Collection[str]) -> Mapping[str, AutoScalingGroupTypeDef]:
        """These Auto Scaling groups by name; empty if AWS denies the call."""
        found: dict[str, AutoScalingGroupTypeDef] = {}
        with suppress(Denied):
            for some in chunks(sorted(names), GROUPS_MAX):
                reply = self._api.look(
                    Operation.DESCRIBE_AUTO_SCALING_GROUPS,
                    ", ".join(some),
                    self._groups.looking.describe_auto_scaling_groups,
                    AutoScalingGroupNames=list(some),
                    MaxRecords=GROUPS_MAX,
                )
                found |= {shape.get("AutoScalingGroupName", ""): shape for shape in reply.get("AutoScalingGroups", ())}
        return found

    def interfaces(self, types: Sequence[str]) -> Mapping[str, int]:
        """The maximum number of network interfaces of each instance type; unknown types are left out."""
        found: dict[str, int] = {}
        for some in chunks(types, TYPES_MAX) if self._ec2 is not None else ():
            for reply in self._type_pages(some):
                for shape in reply.get("InstanceTypes", ()):
                    most = shape.get("NetworkInfo", {}).get("MaximumNetworkInterfaces")
                    if most is not None:
                        found[str(shape.get("InstanceType", ""))] = most
        return found

    def _type_pages(self, types: Sequence[str]) -> Iterable[DescribeInstanceTypesResultTypeDef]:
        # Uses a filter, because a list of types fails as a whole if one does not exist.
        request: DescribeInstanceTypesRequestTypeDef = {
            "Filters": [{"Name": "instance-type", "Values": list(types)}],
            "MaxResults": TYPES_MAX,
        }

        def ask(token: str | None) -> DescribeInstanceTypesResultTypeDef:
            assert self._ec2 is not None
            asked: DescribeInstanceTypesRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._ec2.looking.describe_instance_types
            return self._api.look(Operation.DESCRIBE_INSTANCE_TYPES, self._cluster, method, **asked)

        return pages(ask, lambda reply: reply.get("NextToken"))

    def protections(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime]:
        """The end of each task's protection; unprotected tasks are left out."""
        found: dict[TaskArn, datetime] = {}
        for some in chunks(tasks, PROTECTION_MAX):
            reply = self._api.look(
                Operation.GET_TASK_PROTECTION,
                self._cluster,
                self._ecs.looking.get_task_protection,
                cluster=self._cluster,
                tasks=list(some),
            )
            for shape in reply.get("protectedTasks", ()):
                if shape.get("protectionEnabled") and shape.get("expirationDate") is not None:
                    found[TaskArn(shape.get("taskArn", ""))] = moment(shape.get("expirationDate"))
        return found


def machines_in(reply: DescribeInstancesResultTypeDef) -> Iterable[tuple[InstanceId, Machine]]:
    """The instances of a reply, across all reservations."""
    for reservation in reply.get("Reservations", ()):
        for shape in reservation.get("Instances", ()):
            operator = shape.get("Operator", {})
            managed_by = operator.get("Principal") or "an AWS service" if operator.get("Managed") else ""
            state = str(shape.get("State", {}).get("Name", ""))
            yield InstanceId(shape.get("InstanceId", "")), Machine(state, managed_by, shape.get("PrivateIpAddress", ""))


def definition(shape: TaskDefinitionTypeDef) -> Definition:
    """The parts of a task definition that decide where its tasks can be placed."""
    containers = shape.get("containerDefinitions") or ()
    constraints = shape.get("placementConstraints") or ()
    required = (attribute.get("name", "") for attribute in shape.get("requiresAttributes") or ())
    awsvpc = shape.get("networkMode") == AWSVPC
    return Definition(
        TaskRequirements(
            cpu=_number(shape.get("cpu")) or sum(one.get("cpu", 0) for one in containers),
            memory=_number(shape.get("memory")) or sum(map(_memory, containers)),
            gpus=sum(_gpus(one) for one in containers),
            # A task with its own network interface uses no host ports.
            ports=frozenset() if awsvpc else frozenset(port for one in containers for port in _ports(one)),
            interfaces=1 if awsvpc else 0,
            required=frozenset(name for name in required if name),
        ),
        tuple(one.get("expression", "") for one in constraints if one.get("type") == "memberOf"),
    )


_KINDS = {kind.value: kind for kind in ProviderKind}
_FARGATE = ("FARGATE", "FARGATE_SPOT")
_LEAVING = ("Terminat", "Detach", "Warmed")
_NEEDED_TO_GROW = frozenset({"AlarmNotification", "Launch"})
"""The processes by which a group follows a scaling policy and launches an instance."""


def capacity_provider(
    shape: CapacityProviderTypeDef, groups: Mapping[str, AutoScalingGroupTypeDef]
) -> CapacityProvider:
    """A capacity provider, with how far its Auto Scaling group may grow."""
    name, kind = shape.get("name", ""), _kind_of(shape)
    if kind is not ProviderKind.AUTO_SCALING:
        return CapacityProvider(name, kind)
    group = _group_of(shape)
    why_not = _why_not(shape, groups.get(group))
    protects = shape.get("autoScalingGroupProvider", {}).get("managedTerminationProtection") == "ENABLED"
    found = groups.get(group)
    if found is None:
        return CapacityProvider(name, kind, not why_not, why_not, group, protects_busy=protects)
    staying = [one for one in found.get("Instances", ()) if not one.get("LifecycleState", "").startswith(_LEAVING)]
    most = found.get("MaxSize", 0)
    more = max(0, most - max(found.get("DesiredCapacity", 0), len(staying)))
    return CapacityProvider(name, kind, not why_not, why_not, group, most, more, protects)


def _kind_of(shape: CapacityProviderTypeDef) -> ProviderKind:
    """The provider's kind. ECS may omit the type of providers that are older than that field."""
    if "managedInstancesProvider" in shape:
        return ProviderKind.MANAGED_INSTANCES
    if "autoScalingGroupProvider" in shape:
        return ProviderKind.AUTO_SCALING
    if shape.get("name") in _FARGATE:
        return ProviderKind.FARGATE
    return _KINDS.get(str(shape.get("type", "")), ProviderKind.OTHER)


def _group_of(shape: CapacityProviderTypeDef) -> str:
    """The group's name, from its ARN `…:autoScalingGroup:<id>:autoScalingGroupName/<name>` or given directly."""
    return shape.get("autoScalingGroupProvider", {}).get("autoScalingGroupArn", "").rpartition("/")[2]


def _why_not(shape: CapacityProviderTypeDef, group: AutoScalingGroupTypeDef | None) -> str:
    """Why the provider cannot launch instances; empty if it can."""
    status = shape.get("status", "ACTIVE")
    if status != "ACTIVE":
        return f"its status is {status}"
    if shape.get("autoScalingGroupProvider", {}).get("managedScaling", {}).get("status") != "ENABLED":
        return "its managed scaling is off"
    suspended = {one.get("ProcessName", "") for one in group.get("SuspendedProcesses", ())} if group else set()
    if suspended & _NEEDED_TO_GROW:
        return f"the process {min(suspended & _NEEDED_TO_GROW)} of its Auto Scaling group is suspended"
    return ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _memory(container: ContainerDefinitionOutputTypeDef) -> int:
    """ECS reserves the soft limit if the container has one."""
    return container.get("memoryReservation") or container.get("memory") or DEFAULT_CONTAINER_MEMORY


def _gpus(container: ContainerDefinitionOutputTypeDef) -> int:
    wanted = container.get("resourceRequirements") or ()
    return sum(_number(one.get("value")) for one in wanted if one.get("type") == "GPU")


def _ports(container: ContainerDefinitionOutputTypeDef) -> Iterable[Port]:
    for mapping in container.get("portMappings") or ():
        number = mapping.get("hostPort", 0)
        if number:
            yield Port(number, mapping.get("protocol", "tcp"))
