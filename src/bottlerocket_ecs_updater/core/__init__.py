"""DECIDES: pure functions and values.

Here live the fleet as we know it, the policy, and the one function that says what to do next.
Never here: a clock, I/O, logging, randomness, boto3. The same fleet, policy and time give the same decision.
"""
