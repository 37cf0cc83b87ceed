"""IAM: evaluates policies for each operation as IAM does.

It contains the policy language, the table of actions with their resources and condition keys, and the callers. It does
not contain the operations. It does not check signatures: an access key is enough.
"""

from tests.account.iam.callers import Caller, Callers
from tests.account.iam.gate import Gate, Refusal
from tests.account.iam.iam_requests import IamRequest, asks_of
from tests.account.iam.policy import Decision, Policy, Statement, decide

__all__ = ["Caller", "Callers", "Decision", "Gate", "IamRequest", "Policy", "Refusal", "Statement", "asks_of", "decide"]
