"""What starts tasks: EventBridge rules and EventBridge Scheduler schedules."""

from __future__ import annotations

from typing import Any

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.requests import request_of
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed, without


class Rule:
    """AWS::Events::Rule, with its targets."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        return self._write(cloud, str(properties.get("Name", place.name)), {}, properties)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "Name", "EventBusName"):
            return self.create(cloud, place, new)
        return self._write(cloud, made.physical_id, old, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        self._remove_targets(cloud, made.physical_id, properties, {})
        cloud("events", "DeleteRule", {"Name": made.physical_id})

    def _write(self, cloud: Cloud, name: str, old: Properties, new: Properties) -> Made:
        rule = request_of("events", "PutRule", without(new, "Name", "Targets"))
        arn = cloud("events", "PutRule", {**rule, "Name": name})["RuleArn"]
        self._remove_targets(cloud, name, old, new)
        if new.get("Targets"):
            request = {"Rule": name, "Targets": [_target(each) for each in new["Targets"]]}
            cloud("events", "PutTargets", request_of("events", "PutTargets", request))
        return Made(name, {"Arn": arn})

    def _remove_targets(self, cloud: Cloud, name: str, old: Properties, new: Properties) -> None:
        kept = {target["Id"] for target in new.get("Targets", ())}
        gone = sorted({target["Id"] for target in old.get("Targets", ())} - kept)
        if gone:
            cloud("events", "RemoveTargets", {"Rule": name, "Ids": gone})


def _target(properties: Properties) -> Properties:
    """A target in EventBridge's format: CloudFormation names one part differently."""
    task = properties.get("EcsParameters")
    if not task or "PlacementStrategies" not in task:
        return properties
    renamed = {**without(task, "PlacementStrategies"), "PlacementStrategy": task["PlacementStrategies"]}
    return {**properties, "EcsParameters": renamed}


class Schedule:
    """AWS::Scheduler::Schedule."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("Name", place.name))[:64]
        arn = cloud("scheduler", "CreateSchedule", self._request("CreateSchedule", name, properties))["ScheduleArn"]
        return Made(name, {"Arn": arn})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "Name", "GroupName"):
            return self.create(cloud, place, new)
        cloud("scheduler", "UpdateSchedule", self._request("UpdateSchedule", made.physical_id, new))
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("scheduler", "DeleteSchedule", {"Name": made.physical_id})

    def _request(self, operation: str, name: str, properties: Properties) -> dict[str, Any]:
        return request_of("scheduler", operation, {**properties, "Name": name})
