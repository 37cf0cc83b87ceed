"""The world's partition, Region and account, and the ARNs built from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """The part that all ARNs in one world share."""

    partition: str = "aws"
    region: str = "us-east-1"
    account: str = "123456789012"

    @classmethod
    def of(cls, seed: int) -> Names:
        """A different account for each seed."""
        return cls(account=f"{int(cls().account) + seed:012}"[-12:])

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def ecs(self, kind: str, *path: str) -> str:
        """The ARN of an ECS resource, in the long format: `ecs("task", cluster, id)`."""
        return self.arn("ecs", "/".join((kind, *path)))


def last_part(name_or_arn: str) -> str:
    """The resource's name or id, from a name, an id or an ARN."""
    return name_or_arn.rsplit("/", 1)[-1]
