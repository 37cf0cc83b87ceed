"""What the operator's rules ask of AWS beside the state of the cluster: groups, task definitions, protections, alarms.

Each is read-only, and each may be refused or not be offered: the engine then does without the rule, or holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import moment
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
from bottlerocket_ecs_updater.core.model.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.resources import Definition, Demand, Port
from bottlerocket_ecs_updater.core.rules.health import AlarmRule

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.literals import AlarmTypeType
    from types_boto3_cloudwatch.type_defs import DescribeAlarmsInputTypeDef, DescribeAlarmsOutputTypeDef
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import ContainerDefinitionOutputTypeDef, TaskDefinitionTypeDef

ALARMS_MAX = 100
"""DescribeAlarms takes so many names, and gives so many alarms on a page."""

ALARM_TYPES: Sequence[AlarmTypeType] = ("MetricAlarm", "CompositeAlarm")
"""Without them, composite alarms are left out."""

GROUP_INSTANCES_MAX = 50
"""DescribeAutoScalingInstances takes so many ids."""

PROTECTION_MAX = 100
"""GetTaskProtection takes so many tasks."""

REFRESHES_ASKED = 10
"""The newest come first, and a group has one active refresh at a time."""

DEFAULT_CONTAINER_MEMORY = 0
AWSVPC = "awsvpc"


class AwsSurvey:
    """Implements `engine.ports.Survey`."""

    def __init__(
        self,
        ecs: Pair[ECSClient],
        groups: Pair[AutoScalingClient],
        alarms: Pair[CloudWatchClient],
        api: Api,
        cluster: str,
    ) -> None:
        self._ecs = ecs
        self._groups = groups
        self._alarms = alarms
        self._api = api
        self._cluster = cluster

    @classmethod
    def of(cls, clients: Clients, api: Api, cluster: str) -> AwsSurvey:
        """From the clients of a run; none is made before it is first asked."""
        return cls(clients.ecs, clients.autoscaling, clients.cloudwatch, api, cluster)

    def alarms(self, rules: Sequence[AlarmRule]) -> Mapping[str, str]:
        """The state of every alarm that a rule names, by name: those with full names a hundred a call."""
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

    def probes(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Ask URLs, and say why each is not well; the right to act is kept alive as before any other call."""
        unwell: dict[str, str] = {}
        for some in chunks(urls, PROBES_AT_ONCE):
            self._api.before_call(False)
            unwell |= ask_probes(some)
        return unwell

    def memberships(
        self, instances: Sequence[InstanceId], *, refreshes: bool = True
    ) -> Mapping[InstanceId, Membership]:
        """The Auto Scaling group of each, and its state there; with `refreshes`, whether that group is refreshed."""
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

    def definition(self, arn: str) -> Definition:
        """What a task of this definition asks of an instance; a revision never changes."""
        reply = self._api.look(
            Operation.DESCRIBE_TASK_DEFINITION,
            arn,
            self._ecs.looking.describe_task_definition,
            taskDefinition=arn,
        )
        return definition(reply.get("taskDefinition", {}))

    def protections(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime]:
        """Until when each of these tasks is protected; those that are not are left out."""
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


def definition(shape: TaskDefinitionTypeDef) -> Definition:
    """A task definition, as far as it decides where its tasks may go."""
    containers = shape.get("containerDefinitions") or ()
    constraints = shape.get("placementConstraints") or ()
    required = (attribute.get("name", "") for attribute in shape.get("requiresAttributes") or ())
    awsvpc = shape.get("networkMode") == AWSVPC
    return Definition(
        Demand(
            cpu=_number(shape.get("cpu")) or sum(one.get("cpu", 0) for one in containers),
            memory=_number(shape.get("memory")) or sum(map(_memory, containers)),
            gpus=sum(_gpus(one) for one in containers),
            # With a network interface of its own a task takes no port of the host.
            ports=frozenset() if awsvpc else frozenset(port for one in containers for port in _ports(one)),
            interfaces=1 if awsvpc else 0,
            required=frozenset(name for name in required if name and not name.startswith(CAPABILITY)),
        ),
        tuple(one.get("expression", "") for one in constraints if one.get("type") == "memberOf"),
    )


CAPABILITY = "com.amazonaws.ecs.capability."
"""What every agent of an age can do; instances' own are not kept, as there are dozens of them."""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _memory(container: ContainerDefinitionOutputTypeDef) -> int:
    """ECS reserves the soft limit where there is one."""
    return container.get("memoryReservation") or container.get("memory") or DEFAULT_CONTAINER_MEMORY


def _gpus(container: ContainerDefinitionOutputTypeDef) -> int:
    wanted = container.get("resourceRequirements") or ()
    return sum(_number(one.get("value")) for one in wanted if one.get("type") == "GPU")


def _ports(container: ContainerDefinitionOutputTypeDef) -> Iterable[Port]:
    for mapping in container.get("portMappings") or ():
        number = mapping.get("hostPort", 0)
        if number:
            yield Port(number, mapping.get("protocol", "tcp"))
