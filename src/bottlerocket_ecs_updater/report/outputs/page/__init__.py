"""The page of a run: one HTML file that shows everything by itself, without network or script.

Never here: what happened and what it means. That is worked out in `account` and `timeline`; this only draws it.
"""
