"""Runs updates: look, decide, act and record, in passes, until there is nothing more to do now.

Contains the loop, its waits and its signals. It reaches AWS only through the protocols in `ports`. It does not import
boto3, render output, or make decisions about instances.
"""
