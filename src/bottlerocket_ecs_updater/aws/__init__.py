"""TALKS: the only package that calls AWS.

AWS responses are parsed here into core values and go no further; `ClientError` is translated here too.
This package makes no decisions.
"""
