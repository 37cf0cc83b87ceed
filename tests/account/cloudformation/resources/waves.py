"""A cluster for the updater's own tasks, and the state machine that starts them."""

from __future__ import annotations

import json

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed


class Cluster:
    """AWS::ECS::Cluster."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("ClusterName", place.name))
        cloud("ecs", "CreateCluster", {"clusterName": name})
        return Made(name, {"Arn": place.names.ecs("cluster", name)})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(cloud, place, new) if changed(old, new, "ClusterName") else made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("ecs", "DeleteCluster", {"cluster": made.physical_id})


class StateMachine:
    """AWS::StepFunctions::StateMachine. Placeholders in the definition are filled in when it is created."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("StateMachineName", place.name))
        request = {"name": name, "definition": _definition(properties), "roleArn": properties["RoleArn"]}
        cloud("stepfunctions", "CreateStateMachine", request)
        arn = place.names.arn("states", f"stateMachine:{name}")
        return Made(arn, {"Arn": arn, "Name": name})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        request = {"stateMachineArn": made.physical_id, "definition": _definition(new), "roleArn": new["RoleArn"]}
        cloud("stepfunctions", "UpdateStateMachine", request)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("stepfunctions", "DeleteStateMachine", {"stateMachineArn": made.physical_id})


def _definition(properties: Properties) -> str:
    text = json.dumps(properties["Definition"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", value)
    return text
