"""Which cluster is meant. A name alone is not enough: every Region of every account may have a cluster of that name.

arn:aws:ecs:eu-west-1:111122223333:cluster/web
arn:aws:ecs:eu-west-1:111122223333:container-instance/web/0123…     the long format, since 2018
arn:aws:ecs:eu-west-1:111122223333:container-instance/0123…         the short one, of old accounts
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

_SECTIONS = 6
"""Sections of an ARN: arn, partition, service, Region, account, resource."""


@dataclass(frozen=True, slots=True)
class Location:
    """The account, Region and name of a cluster. The name is empty if an ARN does not contain it."""

    account: str
    region: str
    name: str

    def __str__(self) -> str:
        return f"{self.account}/{self.region}/{self.name}"

    @property
    def words(self) -> str:
        """The location as text for people."""
        return f"the cluster {self.name or 'without a name'} of account {self.account} in {self.region}"

    def may_be(self, other: Location) -> bool:
        """Whether both may be the same cluster: account and Region are equal, and the names if both are known."""
        here, there = (self.account, self.region), (other.account, other.region)
        return here == there and (not self.name or not other.name or self.name == other.name)


def location_of(arn: str) -> Location | None:
    """The location in the ARN of a cluster, or of something in a cluster; None for any other text."""
    sections = arn.split(":", _SECTIONS - 1)
    if len(sections) < _SECTIONS or sections[0] != "arn" or sections[2] != "ecs" or not sections[3] or not sections[4]:
        return None
    kind, _, path = sections[5].partition("/")
    name, inside, _ = path.partition("/")
    return Location(sections[4], sections[3], name if inside or kind == "cluster" else "")


def elsewhere(arns: Iterable[str], here: Collection[Location]) -> Location | None:
    """The location of the first ARN in none of the clusters `here`; None if there is none, or if `here` is empty."""
    if not here:
        return None
    for arn in arns:
        place = location_of(arn)
        if place is not None and not any(place.may_be(one) for one in here):
            return place
    return None


def name_of(cluster: str) -> str:
    """The name of a cluster, given its name, its ARN or its location as text."""
    return cluster.rsplit("/", 1)[-1]
