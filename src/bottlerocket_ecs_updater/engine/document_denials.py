"""Which documents AWS denies: for a single host, or for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind

DENIED_FOR_ALL = 2
"""If a document was denied for this many hosts and allowed for none, it counts as denied for all."""


@dataclass(slots=True)
class DocumentDenials:
    """Which documents AWS allowed and denied in this run, by host."""

    _allowed: dict[DocumentKind, set[InstanceId]] = field(default_factory=dict)
    """Instances to which AWS allowed this run to send a document, and has not denied since."""
    _denied: dict[DocumentKind, dict[InstanceId, str]] = field(default_factory=dict)
    """Instances for which AWS denied a document, with the reason."""

    def note(self, kind: DocumentKind, allowed: Collection[InstanceId], denied: Mapping[InstanceId, str]) -> None:
        """Record for which instances AWS allowed or denied a document.

        If it is denied for an instance where it was allowed before, the permission may have been removed for all.
        """
        if not self._allowed.get(kind, set()).isdisjoint(denied):
            del self._allowed[kind]
        if allowed:
            self._allowed.setdefault(kind, set()).update(allowed)
        self._denied.setdefault(kind, {}).update(denied)

    def for_all(self, kind: DocumentKind, instances: Collection[Instance]) -> str:
        """The denial, if AWS denied a document for all hosts tried so far; empty if it may concern a single host."""
        denied = self._denied.get(kind, {})
        denials = list(denied.values())
        enough = len(denials) >= DENIED_FOR_ALL or not (self._allowed or _others_in_doubt(denied, instances))
        return f"not allowed: {denials[0]}" if denials and enough and kind not in self._allowed else ""


def _others_in_doubt(denied: Collection[InstanceId], instances: Collection[Instance]) -> bool:
    """Whether commands to other instances may be allowed: they are pending, answered, or retried."""
    others = [one for one in instances if one.id not in denied and one.bottlerocket]
    return any(one.pending or one.check_answer or one.applied or one.progress.stalled_since for one in others)
