"""RUNS: look, decide, act, record, again and again until nothing is left that may be done now.

Here live the loop, its waits and its signals. The world is known only through the protocols in `ports`.
Never here: boto3, rendering, or a decision about an instance.
"""
