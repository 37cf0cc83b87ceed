"""Hosts that a hybrid activation registered: ECS knows them as `i-…`, Systems Manager as `mi-…`.

Systems Manager does not name the EC2 instance behind such a node. The private address identifies it. If EC2 does not
show the address of the instance, it is only known which nodes it may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bottlerocket_ecs_updater.core.model.instance import Instance, Node
from bottlerocket_ecs_updater.core.model.wording import NAMED_AT_MOST


def known_as(instance: Instance, nodes: Sequence[Node]) -> str:
    """Under which other id Systems Manager knows, or may know, an instance, as text; empty if there is none."""
    machine = instance.machine
    address = machine.address if machine is not None else ""
    known = [node for node in nodes if node.address == address] if address else nodes
    sure = sorted(node.id for node in known if node.bottlerocket)
    if address and len(sure) == 1:
        return f"a hybrid activation registered it as {sure[0]}"
    # Addresses repeat in other networks, and a node that registered again leaves its old id behind.
    candidates = sure or sorted(node.id for node in known if address)
    return f"a hybrid activation may have registered it as {_one_of(candidates)}" if candidates else ""


def _one_of(names: Iterable[str]) -> str:
    names = list(names)
    more = f" or one of {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return " or ".join(names[:NAMED_AT_MOST]) + more
