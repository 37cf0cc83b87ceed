"""Callers from moto's stores of IAM and STS."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from tests.account.iam.callers import Caller
from tests.account.iam.policy import Policy

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names


class MotoCallers:
    """Implements `Callers`. Policies are read at every call, so a change takes effect with the next one."""

    def __init__(self, names: Names) -> None:
        self._iam = iam_backends[names.account][names.partition]
        self._sts = sts_backends[names.account][names.partition]
        self._names = names

    def of(self, access_key: str) -> Caller | None:
        assumed = self._sts.get_assumed_role_from_access_key(access_key)
        if assumed is None:
            return None
        name, session = assumed.role_arn.rsplit("/", 1)[-1], assumed.session_name
        try:
            return self.role(name, session)
        except NotFoundException:
            # Sessions of a deleted role may do nothing any more.
            return Caller(self._arn(name, session), ())

    def role(self, name: str, session: str) -> Caller:
        """A session of the role with that name."""
        role = self._iam.get_role(name)
        documents = [*role.policies.values(), *(_default(policy) for policy in role.managed_policies.values())]
        boundary = role.permissions_boundary_arn
        return Caller(
            self._arn(name, session),
            tuple(_read(document) for document in documents),
            _read(_default(self._iam.get_policy(boundary))) if boundary else None,
        )

    def _arn(self, name: str, session: str) -> str:
        return f"arn:{self._names.partition}:sts::{self._names.account}:assumed-role/{name}/{session}"

    def trust(self, name: str) -> Policy:
        """Who may assume a role, from its trust policy."""
        return _read(self._iam.get_role(name).assume_role_policy_document)


@lru_cache(maxsize=256)
def _read(document: str) -> Policy:
    return Policy.read(document)


def _default(policy: Any) -> str:
    return str(next(version.document for version in policy.versions if version.is_default))
