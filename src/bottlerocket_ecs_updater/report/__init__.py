"""SHOWS: events become a log, a timeline, a summary, a page.

Reads only the past: whoever can read events can report, whether the run was live, simulated or last month's.
Never here: a call to AWS, or anything that a run waits for.
"""
