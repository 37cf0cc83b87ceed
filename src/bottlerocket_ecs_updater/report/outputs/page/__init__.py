"""The page of a run: one self-contained HTML file without scripts.

It only draws what `run_report` and `timeline` work out.
"""
