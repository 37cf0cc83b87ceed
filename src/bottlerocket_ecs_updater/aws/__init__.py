"""The only package that calls AWS.

It parses AWS responses into core values, so that no other package sees them, and translates `ClientError`. It makes no
decisions.
"""
