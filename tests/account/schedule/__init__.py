"""Everything that starts by itself: schedules fire in the world's time, state machines run, and a Fargate task is a
process.

A process gets its role's credentials and its task's metadata on loopback, as in ECS.
"""

from tests.account.schedule.containers import Containers
from tests.account.schedule.endpoint import TaskEndpoint
from tests.account.schedule.expressions import Expression, read_expression
from tests.account.schedule.firing import Schedules
from tests.account.schedule.site import SimulatedAccount

__all__ = ["Containers", "Expression", "Schedules", "SimulatedAccount", "TaskEndpoint", "read_expression"]
