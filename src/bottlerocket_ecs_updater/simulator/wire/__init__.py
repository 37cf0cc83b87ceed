"""The HTTP interface on loopback, for any AWS client.

It turns requests into `World.call`, and leaves the rest to moto. It contains no behavior of operations.
"""

from bottlerocket_ecs_updater.simulator.wire.server import OPERATOR_KEY, UPDATER_KEY, Wire

__all__ = ["OPERATOR_KEY", "UPDATER_KEY", "Wire"]
