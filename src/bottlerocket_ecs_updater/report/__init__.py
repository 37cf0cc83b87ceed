"""Turns events into a log, a timeline, a summary and pages.

Events are its only input, so it reports on live, simulated and recorded runs alike. It never calls AWS, and a run never
waits for it.
"""
