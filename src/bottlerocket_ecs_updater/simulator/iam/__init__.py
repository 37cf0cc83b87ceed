"""Who may do what: policies evaluated as IAM evaluates them, over what each operation asks for.

Here live the policy language, the table of actions with their resources and condition keys, and who a caller is.
Never here: what an operation does. Signatures are not checked: whoever shows an access key is believed.
"""

from .asks import Ask, asks_of
from .callers import Caller, Callers
from .gate import Gate, Refusal
from .policy import Decision, Policy, Statement, decide

__all__ = ["Ask", "Caller", "Callers", "Decision", "Gate", "Policy", "Refusal", "Statement", "asks_of", "decide"]
