"""Hosts whose control container was registered by a hybrid activation: ECS says `i-…`, Systems Manager says `mi-…`.

Nothing in Systems Manager names the EC2 instance behind such a node. Its private address is the best witness; where EC2
does not tell the instance's, all that can be said is which nodes it may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bottlerocket_ecs_updater.core.model.instance import Instance, Node

NAMED_AT_MOST = 3


def known_as(instance: Instance, nodes: Sequence[Node]) -> str:
    """How Systems Manager knows, or may know, an instance that it does not know by its EC2 id; empty for not at all."""
    machine = instance.around.machine if instance.around is not None else None
    address = machine.address if machine is not None else ""
    if address:
        found = next((node for node in nodes if node.address == address), None)
        return f"a hybrid activation registered it as {found.id}" if found is not None else ""
    candidates = sorted(node.id for node in nodes if node.bottlerocket)
    return f"a hybrid activation may have registered it as {_one_of(candidates)}" if candidates else ""


def _one_of(names: Iterable[str]) -> str:
    names = list(names)
    more = f" or one of {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return " or ".join(names[:NAMED_AT_MOST]) + more
