"""PRETENDS: a world of Bottlerocket hosts, ECS and SSM, behind the AWS wire protocol and in process.

Here live the hosts' exact behaviour, placement, Run Command, faults, and a record of what no real cloud could tell.
Never here: anything of the updater's own loop; the simulator knows it only as a client that calls.
"""
