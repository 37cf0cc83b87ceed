"""Which cluster is meant: a name alone is not enough, since every Region of every account may have one of that name.

arn:aws:ecs:eu-west-1:111122223333:cluster/web
arn:aws:ecs:eu-west-1:111122223333:container-instance/web/0123…     the long format, since 2018
arn:aws:ecs:eu-west-1:111122223333:container-instance/0123…         the short one, of old accounts
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

_SECTIONS = 6
"""Of an ARN: arn, partition, service, Region, account, resource."""


@dataclass(frozen=True, slots=True)
class Location:
    """A cluster, told from all others. The name is empty where an ARN does not tell it."""

    account: str
    region: str
    name: str

    def __str__(self) -> str:
        return f"{self.account}/{self.region}/{self.name}"

    @property
    def words(self) -> str:
        """For people."""
        return f"the cluster {self.name or 'without a name'} of account {self.account} in {self.region}"

    def may_be(self, other: Location) -> bool:
        """Whether both can be one: they are, unless account or Region differ, or both names are known and differ."""
        here, there = (self.account, self.region), (other.account, other.region)
        return here == there and (not self.name or not other.name or self.name == other.name)


def location_of(arn: str) -> Location | None:
    """Where the ARN of a cluster, or of something in one, is; None for anything else."""
    sections = arn.split(":", _SECTIONS - 1)
    if len(sections) < _SECTIONS or sections[0] != "arn" or sections[2] != "ecs" or not sections[3] or not sections[4]:
        return None
    kind, _, path = sections[5].partition("/")
    name, inside, _ = path.partition("/")
    return Location(sections[4], sections[3], name if inside or kind == "cluster" else "")


def elsewhere(arns: Iterable[str], here: Collection[Location]) -> Location | None:
    """The place of the first ARN that is in none of these; None where all may be, or where nothing is known."""
    if not here:
        return None
    for arn in arns:
        place = location_of(arn)
        if place is not None and not any(place.may_be(one) for one in here):
            return place
    return None


def name_of(cluster: str) -> str:
    """The name of a cluster, of its name, of its ARN, or of its place as text."""
    return cluster.rsplit("/", 1)[-1]
