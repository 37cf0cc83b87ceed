"""IAM roles."""

from __future__ import annotations

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.requests import as_text
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError


class Role:
    """AWS::IAM::Role, with inline and managed policies. A new path or name makes a new role."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("RoleName", place.name))
        request = {
            "RoleName": name,
            "AssumeRolePolicyDocument": as_text(properties["AssumeRolePolicyDocument"]),
            **{key: properties[key] for key in ("Path", "Description", "PermissionsBoundary") if key in properties},
        }
        role = cloud("iam", "CreateRole", request)["Role"]
        self._write_policies(cloud, name, {}, properties)
        return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "Path", "RoleName"):
            return self.create(cloud, place, new)
        name = made.physical_id
        trust = as_text(new["AssumeRolePolicyDocument"])
        cloud("iam", "UpdateAssumeRolePolicy", {"RoleName": name, "PolicyDocument": trust})
        if changed(old, new, "PermissionsBoundary"):
            self._write_boundary(cloud, name, new)
        self._write_policies(cloud, name, old, new)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        self._write_policies(cloud, made.physical_id, properties, {})
        cloud("iam", "DeleteRole", {"RoleName": made.physical_id})

    def _write_boundary(self, cloud: Cloud, name: str, new: Properties) -> None:
        if "PermissionsBoundary" in new:
            request = {"RoleName": name, "PermissionsBoundary": new["PermissionsBoundary"]}
            cloud("iam", "PutRolePermissionsBoundary", request)
        else:
            cloud("iam", "DeleteRolePermissionsBoundary", {"RoleName": name})

    def _write_policies(self, cloud: Cloud, name: str, old: Properties, new: Properties) -> None:
        """Write inline and managed policies, and remove old ones."""
        inline = {policy["PolicyName"]: as_text(policy["PolicyDocument"]) for policy in new.get("Policies", ())}
        for policy, document in inline.items():
            request = {"RoleName": name, "PolicyName": policy, "PolicyDocument": document}
            cloud("iam", "PutRolePolicy", request)
        for policy in {before["PolicyName"] for before in old.get("Policies", ())} - inline.keys():
            _remove_policy(cloud, name, policy)
        before, after = set(old.get("ManagedPolicyArns", ())), set(new.get("ManagedPolicyArns", ()))
        for arn in sorted(after - before):
            cloud("iam", "AttachRolePolicy", {"RoleName": name, "PolicyArn": arn})
        for arn in sorted(before - after):
            cloud("iam", "DetachRolePolicy", {"RoleName": name, "PolicyArn": arn})


def _remove_policy(cloud: Cloud, role: str, policy: str) -> None:
    try:
        cloud("iam", "DeleteRolePolicy", {"RoleName": role, "PolicyName": policy})
    except AwsError as error:
        # Somebody else removed it already.
        if error.code != "NoSuchEntity":
            raise
