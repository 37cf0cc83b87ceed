"""What moto's IAM lacks or rejects: AWS's managed policies, and role policies without a version. moto can load all of
AWS's policies, more than a thousand, for each account; stacks need only a few.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends
from moto.iam.policy_validation import IAMPolicyDocumentValidator

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

ATTACHED = ("AmazonECSTaskExecutionRolePolicy", "AmazonEC2ContainerServiceEventsRole", "AmazonSSMManagedInstanceCore")
"""The policies that the roles of updaters and hosts use."""

VERSION_SEAM = "_validate_version"
VERSIONS = ("2008-10-17", "2012-10-17")


def install(names: Names) -> None:
    """Add these AWS policies to the account, and accept role policies without a version."""
    setattr(IAMPolicyDocumentValidator, VERSION_SEAM, _takes_any_version)
    iam = iam_backends[names.account][names.partition]
    for name in ATTACHED:
        policy = AWSManagedPolicy.from_data(name, names.account, names.region, _all_of_aws()[name])
        iam.managed_policies.setdefault(policy.arn, policy)


def _takes_any_version(validator: IAMPolicyDocumentValidator) -> None:
    """One that names no version has the older language: "the default is 2008-10-17"."""
    assert validator._policy_json.get("Version", VERSIONS[0]) in VERSIONS


@cache
def _all_of_aws() -> dict[str, Any]:
    policies: dict[str, Any] = json.loads(aws_managed_policies_data)
    return policies
