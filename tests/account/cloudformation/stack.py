"""One stack: its resources, and how a deployment changes them.

A deployment creates or updates each resource in the order of dependencies. Only after all of that succeeded does it
remove resources that are no longer in the template. If something fails, it rolls back the same way.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from tests.account.cloudformation.intrinsics import Nothing, Resolver, needs
from tests.account.cloudformation.resources import KINDS, Made, Place
from tests.account.cloudformation.template import Template, invalid

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.account.cloudformation.cloud import Cloud

    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

SUFFIX_CHARACTERS = string.ascii_uppercase + string.digits
SUFFIX_LENGTH = 12
NAME_MAX_CHARACTERS = 64
"""Of IAM roles and rules, which are the shortest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack should become."""

    template: Template
    parameters: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holding:
    """A resource that the stack created."""

    kind: str
    made: Made
    properties: Mapping[str, Any]
    retained: bool
    """Whether it outlives the stack, by its DeletionPolicy."""
    retained_when_replaced: bool = False
    kept_by_rollback: bool = False
    """Whether it outlives even the failed deployment that made it: `Retain`, but not `RetainExceptOnCreate`."""


@dataclass(frozen=True, slots=True)
class StackEvent:
    """One line of a stack's history."""

    at: datetime
    logical_id: str
    kind: str
    physical_id: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """An output."""

    key: str
    value: str
    description: str
    export: str | None


STACK = "AWS::CloudFormation::Stack"


class Stack:
    """A stack of one account and region."""

    def __init__(self, name: str, stack_id: str, names: Names, cloud: Cloud, now: Callable[[], datetime]) -> None:
        self.name = name
        self.id = stack_id
        self.created_at = now()
        self.status = "REVIEW_IN_PROGRESS"
        self.reason = ""
        self.plan: Plan | None = None
        self.tags: Mapping[str, str] = {}
        """Those of the last deployment, whatever became of it."""
        self.holdings: dict[str, Holding] = {}
        self.outputs: list[Output] = []
        self.events: list[StackEvent] = []
        self._names = names
        self._cloud = cloud
        self._now = now
        # Names only have to be unique, and the same in every run.
        self._suffixes = random.Random(stack_id)

    def deploy(self, plan: Plan, imports: Mapping[str, str]) -> None:
        """Apply the plan, or roll back; the status shows which."""
        before, verb = self.plan, "UPDATE" if self.plan else "CREATE"
        self.tags = plan.tags
        self._note(f"{verb}_IN_PROGRESS", "User Initiated")
        kept = dict(self.holdings)
        try:
            wanted = self._make(plan, imports)
            self.outputs = list(self._outputs(plan, imports))
        except AwsError as error:
            self._back(before, kept, imports, verb, f"{error.code}: {error.message}")
            return
        self._clean(kept, wanted)
        self.plan = plan
        self._note(f"{verb}_COMPLETE")

    def delete(self) -> None:
        """Remove everything without a retention policy."""
        self._note("DELETE_IN_PROGRESS", "User Initiated")
        try:
            for logical_id in reversed(list(self.holdings)):
                holding = self.holdings[logical_id]
                self._remove(logical_id, holding, retained=holding.retained)
                del self.holdings[logical_id]
        except AwsError as error:
            self._note("DELETE_FAILED", f"{error.code}: {error.message}")
            return
        self.outputs = []
        self._note("DELETE_COMPLETE")

    def check_rules(self, plan: Plan) -> None:
        """Check a plan against its template's rules, before anything is created. Raises AwsError."""
        self._resolver(plan, {}).check_rules()

    def changes(self, plan: Plan) -> Iterator[tuple[str, str, str]]:
        """What a plan would do, as far as that is known in advance: action, logical id, type."""
        wanted = self._wanted(plan, {})
        before = self.plan
        for logical_id in wanted:
            kind = plan.template.resources[logical_id]["Type"]
            if logical_id not in self.holdings:
                yield "Add", logical_id, kind
            elif before is None or before.parameters != plan.parameters or before.template.text != plan.template.text:
                yield "Modify", logical_id, kind
        for logical_id, holding in self.holdings.items():
            if logical_id not in wanted:
                yield "Remove", logical_id, holding.kind

    # Deployment and rollback

    def _make(self, plan: Plan, imports: Mapping[str, str]) -> list[str]:
        wanted = self._wanted(plan, imports)
        resolver = self._resolver(plan, imports)
        for logical_id in wanted:
            shape = plan.template.resources[logical_id]
            properties = resolver.resolve(shape.get("Properties", {}))
            self._bring(logical_id, shape, properties)
        return wanted

    def _bring(self, logical_id: str, shape: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        kind, current = shape["Type"], self.holdings.get(logical_id)
        if current is not None and current.kind != kind:
            raise invalid(f"Update of resource type is not permitted. The new template modifies resource {logical_id}.")
        if kind not in KINDS:
            raise invalid(f"Template format error: Unrecognized resource types: [{kind}]")
        verb = "UPDATE" if current else "CREATE"
        unchanged = current is not None and current.properties == properties
        try:
            made = current.made if current and unchanged else self._carry_out(logical_id, kind, current, properties)
        except AwsError as error:
            self._event(logical_id, kind, "", f"{verb}_FAILED", f"{error.code}: {error.message}")
            raise
        retained = shape.get("DeletionPolicy", "Delete") != "Delete"
        retained_when_replaced = shape.get("UpdateReplacePolicy", "Delete") != "Delete"
        kept_by_rollback = shape.get("DeletionPolicy") == "Retain"
        self.holdings[logical_id] = Holding(kind, made, properties, retained, retained_when_replaced, kept_by_rollback)
        if not unchanged:
            self._event(logical_id, kind, made.physical_id, f"{verb}_COMPLETE")

    def _carry_out(self, logical_id: str, kind: str, current: Holding | None, properties: Mapping[str, Any]) -> Made:
        place = Place(self._names, logical_id, self._physical_name(logical_id))
        if current is None:
            return KINDS[kind].create(self._cloud, place, properties)
        return KINDS[kind].update(self._cloud, place, current.made, current.properties, properties)

    def _clean(self, before: Mapping[str, Holding], wanted: list[str]) -> None:
        """Remove replaced and unused resources. If a deletion fails here, the resource is left behind, as in AWS."""
        for logical_id in reversed(list(before)):
            old, new = before[logical_id], self.holdings[logical_id]
            gone = logical_id not in wanted
            if not gone and old.made.physical_id == new.made.physical_id:
                continue
            try:
                self._remove(logical_id, old, retained=old.retained if gone else old.retained_when_replaced)
            except AwsError as error:
                self._event(logical_id, old.kind, old.made.physical_id, "DELETE_FAILED", error.message)
            if gone:
                del self.holdings[logical_id]

    def _back(
        self, before: Plan | None, kept: dict[str, Holding], imports: Mapping[str, str], verb: str, why: str
    ) -> None:
        rollback = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
        self._note(f"{rollback}_IN_PROGRESS", why)
        made = dict(self.holdings)
        for logical_id in reversed(list(made)):
            new, old = made[logical_id], kept.get(logical_id)
            if old is None or old.made.physical_id != new.made.physical_id:
                self._remove(logical_id, new, retained=old is None and new.kept_by_rollback)
                del self.holdings[logical_id]
            if old is not None:
                self._restore(logical_id, old, new)
        if before is not None:
            self.outputs = list(self._outputs(before, imports))
        self._note(f"{rollback}_COMPLETE", why)

    def _restore(self, logical_id: str, old: Holding, new: Holding) -> None:
        changed_in_place = old.made.physical_id == new.made.physical_id and old.properties != new.properties
        if changed_in_place:
            place = Place(self._names, logical_id, self._physical_name(logical_id))
            KINDS[old.kind].update(self._cloud, place, new.made, new.properties, old.properties)
            self._event(logical_id, old.kind, old.made.physical_id, "UPDATE_COMPLETE")
        self.holdings[logical_id] = old

    def _remove(self, logical_id: str, holding: Holding, *, retained: bool) -> None:
        if retained:
            self._event(logical_id, holding.kind, holding.made.physical_id, "DELETE_SKIPPED")
            return
        KINDS[holding.kind].delete(self._cloud, holding.made, holding.properties)
        self._event(logical_id, holding.kind, holding.made.physical_id, "DELETE_COMPLETE")

    # What the template says

    def _wanted(self, plan: Plan, imports: Mapping[str, str]) -> list[str]:
        """The resources whose condition is true, each after those that it needs. Raises AwsError."""
        resolver, resources = self._resolver(plan, imports), plan.template.resources
        chosen = {
            logical_id: shape
            for logical_id, shape in resources.items()
            if "Condition" not in shape or resolver.condition(shape["Condition"])
        }
        graph = {logical_id: _needed(shape, resolver, frozenset(resources)) for logical_id, shape in chosen.items()}
        for logical_id, needed in graph.items():
            missing = sorted(needed - chosen.keys())
            if missing:
                raise invalid(f"Template format error: Unresolved resource dependencies {missing} of {logical_id}")
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise invalid(f"Circular dependency between resources: {error.args[1]}") from error

    def _resolver(self, plan: Plan, imports: Mapping[str, str]) -> Resolver:
        names = self._names
        suffix = "amazonaws.com.cn" if names.partition == "aws-cn" else "amazonaws.com"
        pseudo = {
            "AWS::AccountId": names.account,
            "AWS::Region": names.region,
            "AWS::Partition": names.partition,
            "AWS::StackName": self.name,
            "AWS::StackId": self.id,
            "AWS::URLSuffix": suffix,
        }
        return Resolver(plan.template, plan.parameters, pseudo, self._reference, self._attribute, imports)

    def _reference(self, logical_id: str) -> str:
        return self._holding(logical_id).made.physical_id

    def _attribute(self, logical_id: str, name: str) -> str:
        attributes = self._holding(logical_id).made.attributes
        if name not in attributes:
            raise invalid(f"Template error: resource {logical_id} does not support attribute type {name} in Fn::GetAtt")
        return attributes[name]

    def _holding(self, logical_id: str) -> Holding:
        if logical_id not in self.holdings:
            raise invalid(f"Unresolved resource dependencies [{logical_id}] in the template")
        return self.holdings[logical_id]

    def _outputs(self, plan: Plan, imports: Mapping[str, str]) -> Iterator[Output]:
        resolver = self._resolver(plan, imports)
        for key, shape in plan.template.section("Outputs").items():
            if "Condition" in shape and not resolver.condition(shape["Condition"]):
                continue
            value = resolver.resolve(shape["Value"])
            if value is Nothing.NO_VALUE:
                continue
            export = resolver.resolve(shape["Export"]["Name"]) if "Export" in shape else None
            yield Output(key, str(value), str(shape.get("Description", "")), export)

    def _physical_name(self, logical_id: str) -> str:
        suffix = "".join(self._suffixes.choice(SUFFIX_CHARACTERS) for _ in range(SUFFIX_LENGTH))
        room = NAME_MAX_CHARACTERS - SUFFIX_LENGTH - len(logical_id) - 2
        return f"{self.name[:room]}-{logical_id}-{suffix}"

    # Events and outputs

    def _note(self, status: str, reason: str = "") -> None:
        self.status, self.reason = status, reason
        self._event(self.name, STACK, self.id, status, reason)

    def _event(self, logical_id: str, kind: str, physical_id: str, status: str, reason: str = "") -> None:
        self.events.append(StackEvent(self._now(), logical_id, kind, physical_id, status, reason))


def _needed(shape: Mapping[str, Any], resolver: Resolver, logical_ids: frozenset[str]) -> set[str]:
    explicit = shape.get("DependsOn", [])
    explicit = [explicit] if isinstance(explicit, str) else explicit
    return {*explicit, *needs(shape.get("Properties", {}), resolver, logical_ids)}
