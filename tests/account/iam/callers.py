"""Callers: the role behind an access key, with its policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tests.account.iam.iam_requests import IamRequest
from tests.account.iam.policy import Decision, Policy, decide


@dataclass(frozen=True, slots=True)
class Caller:
    """A role that somebody has assumed."""

    arn: str
    """As denials name it: `arn:aws:sts::…:assumed-role/NAME/SESSION`."""
    policies: tuple[Policy, ...]
    boundary: Policy | None = None

    def may(self, ask: IamRequest) -> Decision:
        """The decision of its policies."""
        return decide(ask, self.policies, self.boundary)


class Callers(Protocol):
    """Looks up callers."""

    def of(self, access_key: str) -> Caller | None:
        """The role behind an access key; None for the account's own administrators, who may do everything."""
