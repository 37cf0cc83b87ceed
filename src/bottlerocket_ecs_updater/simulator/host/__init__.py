"""A Bottlerocket host as seen from outside: partition sets, the update dispatcher, apiclient, a shell, boots.

It contains the behavior of one host. ECS and SSM are elsewhere: they listen to a host's `on_…` lists and run its
shell.
"""

from bottlerocket_ecs_updater.simulator.host.host import Host
from bottlerocket_ecs_updater.simulator.host.script import Script
from bottlerocket_ecs_updater.simulator.host.spec import HostSpec, HostTiming, Power, ScriptResult

__all__ = ["Host", "HostSpec", "HostTiming", "Power", "Script", "ScriptResult"]
