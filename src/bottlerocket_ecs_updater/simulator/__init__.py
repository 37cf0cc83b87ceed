"""A simulated world of Bottlerocket hosts, ECS and SSM, over the AWS wire protocol and in process.

It simulates hosts, placement, Run Command and faults, and checks invariants that no real cloud could check.
It contains nothing of the updater itself, which is only a client that makes calls.
"""
