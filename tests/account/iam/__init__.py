"""Who may do what: policies evaluated as IAM evaluates them, over what each operation asks for.

Here live the policy language, the table of actions with their resources and condition keys, and who a caller is.
Never here: what an operation does. Signatures are not checked: whoever shows an access key is believed.
"""

from tests.account.iam.asks import IamRequest, asks_of
from tests.account.iam.callers import Caller, Callers
from tests.account.iam.gate import Gate, Refusal
from tests.account.iam.policy import Decision, Policy, Statement, decide

__all__ = ["Caller", "Callers", "Decision", "Gate", "IamRequest", "Policy", "Refusal", "Statement", "asks_of", "decide"]
