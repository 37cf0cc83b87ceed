"""The parts of SSM that an updater uses: Run Command and the inventory of managed instances.

It contains SSM's records and answers. What a command does is up to the hosts that run it.
"""

from bottlerocket_ecs_updater.simulator.ssm.service import RunCommand
from bottlerocket_ecs_updater.simulator.ssm.timing import SsmTiming

__all__ = ["RunCommand", "SsmTiming"]
