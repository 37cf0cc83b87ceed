"""Where the world is in AWS: partition, region, account, and the ARNs that follow from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """The part of every ARN that is the same in one world."""

    partition: str = "aws"
    region: str = "us-east-1"
    account: str = "123456789012"

    @classmethod
    def of(cls, seed: int) -> Names:
        """An account for each seed."""
        return cls(account=f"{int(cls().account) + seed:012}"[-12:])

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def ecs(self, kind: str, *path: str) -> str:
        """The ARN of an ECS resource, in the long format: `ecs("task", cluster, id)`."""
        return self.arn("ecs", "/".join((kind, *path)))


def last_part(name_or_arn: str) -> str:
    """The resource's own name or id, of a name, an id, or an ARN that ends with it."""
    return name_or_arn.rsplit("/", 1)[-1]
