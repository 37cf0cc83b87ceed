"""The door on the wire: any AWS client, over HTTP, on loopback.

Here lives what turns requests into `World.call` and what moto is still asked for. Never here: what an operation does.
"""

from bottlerocket_ecs_updater.simulator.wire.server import OPERATOR_KEY, UPDATER_KEY, Wire

__all__ = ["OPERATOR_KEY", "UPDATER_KEY", "Wire"]
