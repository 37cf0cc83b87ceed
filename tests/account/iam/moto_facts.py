"""The facts that authorization needs beyond the request, from moto's stores and the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from moto.core.exceptions import ServiceException
from moto.ecs.models import ecs_backends
from moto.s3.models import s3_backends

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names


class MotoFacts:
    """Implements `Facts`. Instance tags are set here, because the world's hosts have none."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.tags: dict[str, Mapping[str, str]] = {}
        """By EC2 instance id."""
        self._s3 = s3_backends[names.account][names.partition]
        self._ecs = ecs_backends[names.account][names.region]

    def instance_tags(self, instance_id: str) -> Mapping[str, str]:
        return self.tags.get(instance_id, {})

    def object_exists(self, bucket: str, key: str) -> bool:
        try:
            return self._s3.get_object(bucket, key) is not None
        except ServiceException:
            return False

    def bucket_key(self, bucket: str) -> str | None:
        try:
            encryption = self._s3.get_bucket_encryption(bucket)
        except ServiceException:
            return None
        default = (encryption or {}).get("Rule", {}).get("ApplyServerSideEncryptionByDefault", {})
        key: str | None = default.get("KMSMasterKeyID")
        return key

    def roles_of(self, task_definition: str) -> Sequence[str]:
        family, _, revision = task_definition.rsplit("/", 1)[-1].partition(":")
        revisions = self._ecs.task_definitions.get(family, {})
        found = revisions.get(int(revision) if revision.isdecimal() else max(revisions, default=0))
        if found is None:
            return ()
        return tuple(role for role in (found.task_role_arn, found.execution_role_arn) if role)
