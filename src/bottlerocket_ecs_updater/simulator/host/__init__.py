"""A Bottlerocket host as its outside sees it: banks, the update dispatcher, apiclient, a shell, boots.

Here lives what one host does by itself. Never here: ECS (tasks, placement) or the SSM service; they listen
to a host's `on_…` lists and run its shell.
"""

from bottlerocket_ecs_updater.simulator.host.host import Host
from bottlerocket_ecs_updater.simulator.host.script import Script
from bottlerocket_ecs_updater.simulator.host.spec import HostSpec, HostTiming, Power, ScriptResult

__all__ = ["Host", "HostSpec", "HostTiming", "Power", "Script", "ScriptResult"]
