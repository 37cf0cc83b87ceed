"""What starts by itself: schedules fire in the world's time, and a Fargate task is a process of this machine.

A process gets its role's credentials and its task's metadata where ECS offers them, on loopback.
Never here: what the process does.
"""

from .containers import Containers
from .endpoint import TaskEndpoint
from .expressions import Expression, read_expression
from .firing import Schedules
from .site import Site

__all__ = ["Containers", "Expression", "Schedules", "Site", "TaskEndpoint", "read_expression"]
