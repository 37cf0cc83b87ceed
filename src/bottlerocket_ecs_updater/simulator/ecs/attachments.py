"""How many network interfaces and EBS volumes an instance can have, by instance type."""

from __future__ import annotations

from typing import NamedTuple

_INTERFACES = {
    "t3.micro": 2,
    "t3.medium": 3,
    "m6i.large": 3,
    "m6i.xlarge": 4,
    "m6i.2xlarge": 4,
    "m6i.4xlarge": 8,
    "c6i.large": 3,
    "c6i.xlarge": 4,
}
_OTHER_INTERFACES = 4

HOST_VOLUMES = 2
"""A Bottlerocket host boots from one EBS volume and keeps its data on another."""


class AttachmentLimit(NamedTuple):
    """How many EBS volumes an instance can have."""

    most: int
    shared: bool
    """Whether network interfaces take up these attachments, too."""


_OWN_VOLUME_LIMIT = {"m7i.large": AttachmentLimit(32, shared=False), "m7i.xlarge": AttachmentLimit(32, shared=False)}


def interfaces_of(instance_type: str) -> int:
    """Network interfaces, including the primary one. Source: "Maximum IP addresses per interface"."""
    return _INTERFACES.get(instance_type, _OTHER_INTERFACES)


def volume_limit(instance_type: str) -> AttachmentLimit:
    """EBS volumes: 28 shared ones for most Nitro instances.

    Source: "Amazon EBS volume limits for Amazon EC2 instances".
    """
    return _OWN_VOLUME_LIMIT.get(instance_type, AttachmentLimit(28, shared=True))
