"""TALKS: the only room that imports boto3.

AWS dictionaries come in here, are parsed once into core values, and go no further; `ClientError` ends here too.
Never here: a decision.
"""
