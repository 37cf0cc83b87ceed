"""The parts of CloudFormation that an updater stack needs: change sets, updates in place, replacement, rollback.

It creates resources by calling the services' own operations, so every other caller sees them. It contains no services,
and does not check a template's contents; cfn-lint does.
"""

from tests.account.cloudformation.cloud import Cloud, HttpCloud
from tests.account.cloudformation.service import CloudFormation
from tests.account.cloudformation.template import Template

__all__ = ["Cloud", "CloudFormation", "HttpCloud", "Template"]
