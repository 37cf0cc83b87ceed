"""The SSM service as far as an updater meets it: Run Command and the inventory of managed instances.

Here lives what SSM remembers and answers. Never here: what a command does; hosts run it.
"""

from bottlerocket_ecs_updater.simulator.ssm.service import RunCommand
from bottlerocket_ecs_updater.simulator.ssm.timing import SsmTiming

__all__ = ["RunCommand", "SsmTiming"]
