"""The SSM service as far as an updater meets it: Run Command and the inventory of managed instances.

Here lives what SSM remembers and answers. Never here: what a command does; hosts run it.
"""

from .service import RunCommand
from .timing import SsmTiming

__all__ = ["RunCommand", "SsmTiming"]
