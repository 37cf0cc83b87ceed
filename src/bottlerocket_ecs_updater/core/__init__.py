"""Decides what to do: pure functions and values.

It contains the known state of the fleet, the policy, and the function that decides what to do next. It uses no clock,
I/O, logging, randomness or boto3: the same fleet, policy and time always give the same decision.
"""
