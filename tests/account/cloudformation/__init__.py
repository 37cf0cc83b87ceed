"""CloudFormation, as far as a stack of the updater needs it: change sets, updates in place, replacement, rollback.

Resources are made by calling the services' own operations, so what a stack makes is what everybody else then sees.
Never here: the services themselves, nor what a template ought to say; cfn-lint knows that.
"""

from tests.account.cloudformation.cloud import Cloud, HttpCloud
from tests.account.cloudformation.service import CloudFormation
from tests.account.cloudformation.template import Template

__all__ = ["Cloud", "CloudFormation", "HttpCloud", "Template"]
