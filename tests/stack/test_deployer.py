"""The page of permissions lists what a person needs to deploy the stacks, and what a boundary must allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint.data.schemas.resources
import pytest
from tests.stack.conftest import Ground
from tests.stack.stage import STACK
from tests.stack.test_your_permissions import PAGE, actions, rows, words

STACKS = Path(__file__).parents[2] / "stacks"
TEMPLATES = {path.name: path.read_text() for path in STACKS.glob("*.yaml")}
TYPES = {name: set(re.findall(r"^    Type: (AWS::\S+)$", text, re.MULTILINE)) for name, text in TEMPLATES.items()}
USED = {type_ for types in TYPES.values() for type_ in types}
TABLE = {next(word for word in words(row[0]) if word.startswith("AWS::")): row for row in rows("## To deploy a stack")}
BOUNDARY = {action for row in rows("### Boundaries and service control policies") for action in actions(row[1])}

OTHER_PROPERTIES = re.compile(
    r"s3tables:|firehose:|kms:|s3:REST|iam:(GetRole|PassRole)$|s3:GetObject|"
    # Log groups: data protection, indexes, delivery.
    r"logs:(Get|Put|Delete)DataProtectionPolicy|logs:.*(IndexPolic|ResourcePolic)|logs:CreateLogDelivery|"
    r"logs:PutBearerTokenAuthentication|logs:PutLogGroupDeletionProtection|logs:DeleteRetentionPolicy|"
    # Buckets: everything that the templates do not configure.
    r"s3:(?!CreateBucket|DeleteBucket$|ListBucket$|PutBucketTagging|PutEncryption|PutBucketPublicAccess|PutBucketOwnership|"
    r"PutBucketVersioning|PutLifecycle|GetBucket|GetEncryption|GetLifecycle|PutBucketPolicy|DeleteBucketPolicy)|"
    r"sns:(Get|Put)DataProtectionPolicy|ecs:PutAccountSetting|ecs:UpdateClusterSettings|s3:CreateBucketMetadata"
)
"""Actions of the registry for properties that the templates do not set. Roles are passed only to what has one."""
SUBSCRIBES = {("AWS::SNS::Topic", "sns:Subscribe"), ("AWS::SNS::Topic", "sns:Unsubscribe")}
"""The subscription is a resource of its own."""
PASSES = {type_ for type_ in USED if re.search("TaskDefinition|Events::Rule|Schedule|StateMachine", type_)}


def handlers() -> dict[str, set[str]]:
    """The actions that the registry of CloudFormation names for each type, from the copy in cfn-lint."""
    found: dict[str, set[str]] = {}
    for path in Path(cfnlint.data.schemas.resources.__path__[0]).glob("*.json"):
        schema = json.loads(path.read_text())
        if schema.get("typeName") in USED:
            every = (one.get("permissions", ()) for name, one in schema["handlers"].items() if name != "list")
            found.setdefault(schema["typeName"], set()).update(action for some in every for action in some)
    return found


def test_every_type_of_the_templates_has_a_row() -> None:
    assert TABLE.keys() == USED


@pytest.mark.parametrize("type_", sorted(USED))
def test_a_row_says_which_template_has_the_type(type_: str) -> None:
    said = TABLE[type_][0]
    only, not_in = "only in `fleet.yaml`" in said, "not in `fleet.yaml`" in said
    here = (type_ in TYPES["bottlerocket-ecs-updater.yaml"], type_ in TYPES["fleet.yaml"])
    assert here == (not only, not not_in)


def test_the_rows_have_what_the_registry_names() -> None:
    known = handlers()
    assert known.keys() == USED
    for type_, row in TABLE.items():
        listed = {
            re.sub(r"\\", "", one) for one in re.findall(r"\b[a-z0-9]+:[A-Z][A-Za-z]+(?:\\\*)?", f"{row[1]} {row[2]}")
        }
        for action in listed:
            assert any(fnmatchcase(one, action) for one in known[type_] | {"iam:GetRole"}), (type_, action)
        for action in known[type_]:
            unused = (type_, action) in SUBSCRIBES or OTHER_PROPERTIES.search(action)
            assert unused or any(fnmatchcase(action, one) for one in listed), (type_, action)
    assert {type_ for type_, row in TABLE.items() if "iam:PassRole" in row[1]} == PASSES


def granted(text: str) -> Iterator[str]:
    """The actions of the roles of a template."""
    for found in re.findall(r"Effect: Allow, (?:Principal: .*?, )?Action: ('[^']+'|\[[^]]+\])", text):
        yield from re.findall(r"'([a-z0-9]+:[A-Za-z]+)'", found)


def test_a_boundary_must_allow_what_the_roles_may_do() -> None:
    roles = {action for text in TEMPLATES.values() for action in granted(text)} - {"sts:AssumeRole"}
    assert roles == BOUNDARY


def test_the_cli_calls_the_actions_of_cloudformation_that_the_page_names(ground: Ground) -> None:
    called: set[str] = set()
    handler = ground.site.stacks.handler

    def heard(operation: str) -> Any:
        called.add(f"cloudformation:{operation}")
        return handler(operation)

    ground.site.stacks.handler = heard  # type: ignore[method-assign]
    assert ground.deploy(ScheduleState="DISABLED").returncode == 0
    assert ground.aws("cloudformation", "delete-stack", "--stack-name", STACK).returncode == 0
    assert called == actions(
        PAGE[PAGE.index("`aws cloudformation deploy` and") : PAGE.index("To see why a deployment")]
    )
