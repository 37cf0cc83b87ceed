"""CloudFormation's operations, in botocore's shapes. Every operation is complete when it returns."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.account.cloudformation.stack import Plan, Stack
from tests.account.cloudformation.template import Template, invalid, settle_parameters

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from tests.account.cloudformation.cloud import Cloud

    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

Shape = dict[str, Any]

UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."
CHANGEABLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})


@dataclass(slots=True)
class ChangeSet:
    """A plan that has not been executed yet."""

    id: str
    name: str
    stack: Stack
    plan: Plan
    description: str
    made_at: datetime
    empty: bool
    executed: bool = False

    @property
    def status(self) -> str:
        return "FAILED" if self.empty else "CREATE_COMPLETE"

    @property
    def execution_status(self) -> str:
        if self.executed:
            return "EXECUTE_COMPLETE"
        return "UNAVAILABLE" if self.empty else "AVAILABLE"


class CloudFormation:
    """All stacks of one account and region."""

    def __init__(self, names: Names, cloud: Cloud, now: Callable[[], datetime]) -> None:
        self._names = names
        self._cloud = cloud
        self._now = now
        self._stacks: dict[str, Stack] = {}
        self._change_sets: dict[str, ChangeSet] = {}

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "CreateChangeSet": self.create_change_set,
            "DescribeChangeSet": self.describe_change_set,
            "ExecuteChangeSet": self.execute_change_set,
            "DeleteChangeSet": self.delete_change_set,
            "CreateStack": self.create_stack,
            "UpdateStack": self.update_stack,
            "DeleteStack": self.delete_stack,
            "DescribeStacks": self.describe_stacks,
            "DescribeStackEvents": self.describe_events,
            "DescribeStackResources": self.describe_resources,
            "GetTemplate": self.get_template,
            "GetTemplateSummary": self.template_summary,
            "ListExports": self.list_exports,
        }

    def handler(self, operation: str) -> Callable[[Shape], Shape]:
        """The handler of an operation. Raises AwsError if there is none."""
        found = self.handlers().get(operation)
        if found is None:
            raise AwsError("UnsupportedOperation", f"cloudformation:{operation} is not simulated.")
        return found

    def create_change_set(self, request: Shape) -> Shape:
        """CreateChangeSet, of the types CREATE and UPDATE."""
        name = request["StackName"]
        stack = self._find(name)
        if request.get("ChangeSetType", "UPDATE") == "CREATE":
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
            stack = stack or self._new_stack(name)
        elif stack is None:
            raise _no_stack(name)
        elif stack.status not in CHANGEABLE:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        plan = self._plan(request, stack)
        empty = stack.plan == plan
        change_set_id = self._names.arn("cloudformation", f"changeSet/{request['ChangeSetName']}/{uuid.uuid4()}")
        made = ChangeSet(
            change_set_id, request["ChangeSetName"], stack, plan, request.get("Description", ""), self._now(), empty
        )
        self._change_sets[made.id] = made
        return {"Id": made.id, "StackId": stack.id}

    def describe_change_set(self, request: Shape) -> Shape:
        """DescribeChangeSet."""
        found = self._change_set(request)
        changes = [] if found.empty or found.executed else list(found.stack.changes(found.plan))
        return {
            "ChangeSetId": found.id,
            "ChangeSetName": found.name,
            "StackId": found.stack.id,
            "StackName": found.stack.name,
            "Description": found.description,
            "Parameters": _parameters(found.plan.parameters),
            "CreationTime": found.made_at,
            "Status": found.status,
            "ExecutionStatus": found.execution_status,
            **({"StatusReason": UNCHANGED} if found.empty else {}),
            "Changes": [_change(*change) for change in changes],
        }

    def execute_change_set(self, request: Shape) -> Shape:
        """ExecuteChangeSet: when this returns, the stack is updated or rolled back."""
        found = self._change_set(request)
        if found.empty or found.executed:
            raise AwsError("InvalidChangeSetStatus", f"ChangeSet [{found.id}] cannot be executed")
        found.executed = True
        found.stack.deploy(found.plan, self._exports())
        return {}

    def delete_change_set(self, request: Shape) -> Shape:
        """DeleteChangeSet."""
        self._change_sets.pop(self._change_set(request).id)
        return {}

    def create_stack(self, request: Shape) -> Shape:
        """CreateStack."""
        if self._find(request["StackName"]) is not None:
            raise AwsError("AlreadyExistsException", f"Stack [{request['StackName']}] already exists")
        stack = self._new_stack(request["StackName"])
        stack.deploy(self._plan(request, stack), self._exports())
        return {"StackId": stack.id}

    def update_stack(self, request: Shape) -> Shape:
        """UpdateStack."""
        stack = self._stack(request["StackName"])
        plan = self._plan(request, stack)
        if stack.plan == plan:
            raise invalid("No updates are to be performed.")
        stack.deploy(plan, self._exports())
        return {"StackId": stack.id}

    def delete_stack(self, request: Shape) -> Shape:
        """DeleteStack; harmless when there is none."""
        stack = self._find(request["StackName"])
        if stack is not None:
            stack.delete()
        return {}

    def describe_stacks(self, request: Shape) -> Shape:
        """DescribeStacks: one by its name or id, or all."""
        name = request.get("StackName")
        stacks = [self._stack(name)] if name else [stack for stack in self._stacks.values() if _is_there(stack)]
        return {"Stacks": [_stack_shape(stack) for stack in stacks]}

    def describe_events(self, request: Shape) -> Shape:
        """DescribeStackEvents, newest first."""
        stack = self._stack(request["StackName"])
        events = [
            {
                "StackId": stack.id,
                "StackName": stack.name,
                "EventId": str(place),
                "LogicalResourceId": event.logical_id,
                "PhysicalResourceId": event.physical_id,
                "ResourceType": event.kind,
                "ResourceStatus": event.status,
                "ResourceStatusReason": event.reason,
                "Timestamp": event.at,
            }
            for place, event in enumerate(stack.events)
        ]
        return {"StackEvents": events[::-1]}

    def describe_resources(self, request: Shape) -> Shape:
        """DescribeStackResources."""
        stack = self._stack(request["StackName"])
        wanted = request.get("LogicalResourceId")
        resources = [
            {
                "StackId": stack.id,
                "StackName": stack.name,
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": holding.made.physical_id,
                "ResourceType": holding.kind,
                "ResourceStatus": "CREATE_COMPLETE",
                "Timestamp": stack.created_at,
            }
            for logical_id, holding in stack.holdings.items()
            if wanted in (None, logical_id)
        ]
        return {"StackResources": resources}

    def get_template(self, request: Shape) -> Shape:
        """GetTemplate."""
        plan = self._stack(request["StackName"]).plan
        return {"TemplateBody": plan.template.text if plan else ""}

    def template_summary(self, request: Shape) -> Shape:
        """GetTemplateSummary, of a stack or of a template."""
        plan = self._stack(request["StackName"]).plan if request.get("StackName") else None
        template = plan.template if plan else Template.read(request["TemplateBody"])
        return {
            "Parameters": [
                {"ParameterKey": name, "ParameterType": slot["Type"], "DefaultValue": str(slot.get("Default", ""))}
                for name, slot in template.section("Parameters").items()
            ],
            "Description": str(template.body.get("Description", "")),
            "ResourceTypes": sorted({resource["Type"] for resource in template.resources.values()}),
        }

    def list_exports(self, _: Shape) -> Shape:
        """ListExports."""
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": output.export, "Value": output.value}
                for stack in self._stacks.values()
                for output in stack.outputs
                if output.export
            ]
        }

    def _plan(self, request: Shape, stack: Stack) -> Plan:
        before = stack.plan
        if request.get("UsePreviousTemplate") and before is not None:
            template = before.template
        elif "TemplateBody" in request:
            template = Template.read(request["TemplateBody"])
        else:
            raise invalid("Either Template URL or Template Body must be specified.")
        needed = template.capability()
        agreed = set(request.get("Capabilities", ()))
        if needed and not agreed & {needed, "CAPABILITY_NAMED_IAM"}:
            raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")
        given = {}
        for parameter in request.get("Parameters", ()):
            name = parameter["ParameterKey"]
            previous = before.parameters[name] if before and parameter.get("UsePreviousValue") else None
            given[name] = previous if previous is not None else str(parameter["ParameterValue"])
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}
        plan = Plan(template, settle_parameters(template, given), tags)
        stack.check_rules(plan)
        return plan

    def _new_stack(self, name: str) -> Stack:
        stack_id = self._names.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}")
        self._stacks[stack_id] = Stack(name, stack_id, self._names, self._cloud, self._now)
        return self._stacks[stack_id]

    def _find(self, name: str) -> Stack | None:
        """By name while it exists, or by id at any time."""
        if name in self._stacks:
            return self._stacks[name]
        return next((stack for stack in self._stacks.values() if stack.name == name and _is_there(stack)), None)

    def _stack(self, name: str) -> Stack:
        found = self._find(name)
        if found is None:
            raise _no_stack(name)
        return found

    def _change_set(self, request: Shape) -> ChangeSet:
        asked, stack = request["ChangeSetName"], request.get("StackName")
        for found in self._change_sets.values():
            if asked == found.id or (asked == found.name and stack in (found.stack.name, found.stack.id)):
                return found
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{asked}] does not exist", 404)

    def _exports(self) -> dict[str, str]:
        return {shape["Name"]: shape["Value"] for shape in self.list_exports({})["Exports"]}


def _is_there(stack: Stack) -> bool:
    return stack.status != "DELETE_COMPLETE"


def _no_stack(name: str) -> AwsError:
    return invalid(f"Stack with id {name} does not exist")


def _parameters(parameters: Mapping[str, str]) -> list[Shape]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def _change(action: str, logical_id: str, kind: str) -> Shape:
    return {
        "Type": "Resource",
        "ResourceChange": {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind},
    }


def _stack_shape(stack: Stack) -> Shape:
    plan = stack.plan
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": stack.created_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "Parameters": _parameters(plan.parameters if plan else {}),
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "Outputs": [
            {
                "OutputKey": output.key,
                "OutputValue": output.value,
                "Description": output.description,
                **({"ExportName": output.export} if output.export else {}),
            }
            for output in stack.outputs
        ],
    }
