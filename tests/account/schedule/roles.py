"""Roles that AWS services assume, if the roles trust them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.account.cloudformation.cloud import HttpCloud
from tests.account.iam.policy import trusts

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from tests.account.iam import Gate, IamRequest
    from tests.account.iam.moto_callers import MotoCallers

    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names


@dataclass(frozen=True, slots=True)
class Roles:
    """Assumes the roles of one account."""

    endpoint: str
    names: Names
    callers: MotoCallers
    gate: Gate
    operator: HttpCloud

    def credentials(self, role_arn: str, service: str, session: str, source_arn: str) -> dict[str, Any]:
        """Credentials of a role for a service that acts on behalf of a resource. Raises AwsError."""
        context = {"aws:sourceaccount": (self.names.account,), "aws:sourcearn": (source_arn,)}
        name = role_arn.rsplit("/", 1)[-1]
        if not trusts(self.callers.trust(name), service, context):
            raise AwsError("AccessDenied", f"{service} is unable to assume the role {role_arn}.", 403)
        request = {"RoleArn": role_arn, "RoleSessionName": session[:64]}
        found: dict[str, Any] = self.operator("sts", "AssumeRole", request)["Credentials"]
        return found

    def check(self, role_arn: str, session: str, ask: IamRequest, service: str) -> None:
        """Whether a role allows an action on a resource that is not simulated here. Raises AwsError if it does not."""
        self.gate.check(self.callers.role(role_arn.rsplit("/", 1)[-1], session), ask, service)

    def cloud(self, role_arn: str, service: str, session: str, source_arn: str) -> HttpCloud:
        """The services, called with a role's credentials. Raises AwsError."""
        found = self.credentials(role_arn, service, session, source_arn)
        key, secret, token = found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]
        return HttpCloud(self.endpoint, self.names.region, key, secret, token)
