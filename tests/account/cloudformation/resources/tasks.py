"""Task definitions, SSM parameters and SSM documents."""

from __future__ import annotations

import re

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.requests import as_text, request_of
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed, without


class TaskDefinition:
    """AWS::ECS::TaskDefinition. Every change makes a new revision; the family stays."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        return self._register(cloud, str(properties.get("Family", place.name)), properties)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "Family"):
            return self.create(cloud, place, new)
        return self._register(cloud, made.attributes["Family"], new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("ecs", "DeregisterTaskDefinition", {"taskDefinition": made.physical_id})

    def _register(self, cloud: Cloud, family: str, properties: Properties) -> Made:
        sizes = {key: _size(str(properties[key])) for key in ("Cpu", "Memory") if key in properties}
        request = request_of("ecs", "RegisterTaskDefinition", {**properties, **sizes, "Family": family})
        arn = cloud("ecs", "RegisterTaskDefinition", request)["taskDefinition"]["taskDefinitionArn"]
        return Made(arn, {"TaskDefinitionArn": arn, "Family": family})


def _size(text: str) -> str:
    """CPU units and MiB, from forms such as `0.25 vCPU` and `0.5GB`."""
    found = re.fullmatch(r"([0-9.]+)\s*(GB|vCPU)", text, re.IGNORECASE)
    return text if found is None else str(int(float(found[1]) * 1024))


class Document:
    """AWS::SSM::Document. New content makes a new document, as it does without `UpdateMethod: NewVersion`."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("Name", place.name))
        content = {"Name": name, "Content": as_text(properties["Content"])}
        request = request_of("ssm", "CreateDocument", {"DocumentFormat": "JSON", **properties, **content})
        cloud("ssm", "CreateDocument", request)
        return Made(name)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(cloud, place, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("ssm", "DeleteDocument", {"Name": made.physical_id})


class Parameter:
    """AWS::SSM::Parameter."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("Name", f"CFN-{place.logical_id}-{place.name.rsplit('-', 1)[-1]}"))
        self._put(cloud, name, properties, overwrite=False)
        return Made(name, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "Name"):
            return self.create(cloud, place, new)
        self._put(cloud, made.physical_id, new, overwrite=True)
        return Made(made.physical_id, {"Type": new["Type"], "Value": new["Value"]})

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("ssm", "DeleteParameter", {"Name": made.physical_id})

    def _put(self, cloud: Cloud, name: str, properties: Properties, *, overwrite: bool) -> None:
        request = request_of("ssm", "PutParameter", without(properties, "Name"))
        cloud("ssm", "PutParameter", {**request, "Name": name, "Overwrite": overwrite})
