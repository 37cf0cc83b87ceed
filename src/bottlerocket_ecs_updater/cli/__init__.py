"""ASKS: parse, wire together, render, exit.

Here live the settings, the commands and the exit codes. Never here: a decision.
"""
