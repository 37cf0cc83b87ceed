"""The three Run Command documents of the updater's stack, and the world's document store."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.document_steps import STEPS
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock

CHECK = "bottlerocket-ecs-updater-check"
APPLY = "bottlerocket-ecs-updater-apply"
REBOOT = "bottlerocket-ecs-updater-reboot"


def shell_document(
    description: str, lines: tuple[str, ...], timeout_seconds: int, parameters: Mapping[str, Shape] | None = None
) -> str:
    """A Command document of schema 2.2 with one shell step."""
    return json.dumps(
        {
            "schemaVersion": "2.2",
            "description": description,
            **({"parameters": parameters} if parameters else {}),
            "mainSteps": [
                {
                    "action": "aws:runShellScript",
                    "name": "run",
                    "precondition": {"StringEquals": ["platformType", "Linux"]},
                    "inputs": {"timeoutSeconds": str(timeout_seconds), "runCommand": list(lines)},
                }
            ],
        }
    )


REPLACES = {"replace": {"type": "String", "default": "", "allowedPattern": "^[0-9A-Za-z.+-]*$"}}

GUARD = {
    "boots": {"type": "String", "default": "", "allowedPattern": "^[0-9a-f|]*$"},
    "version": {"type": "String", "default": "", "allowedPattern": "^[0-9A-Za-z.+-]*$"},
}

STANDARD: Mapping[str, str] = {
    CHECK: shell_document(
        "Say which boot this is, and whether an update is available",
        STEPS[DocumentKind.CHECK],
        120,
    ),
    APPLY: shell_document(
        "Stage the update, in place of a bad one that is staged", STEPS[DocumentKind.APPLY], 1800, REPLACES
    ),
    REBOOT: shell_document("Reboot into what is staged", STEPS[DocumentKind.REBOOT], 60, GUARD),
}


class DocumentStore:
    """Documents by name. Over HTTP, moto may hold documents, too: `sources` are searched first."""

    def __init__(self, clock: WorldClock, documents: Mapping[str, str]) -> None:
        self._clock = clock
        self._made: dict[str, tuple[str, datetime]] = {
            name: (content, clock.now()) for name, content in documents.items()
        }
        self.sources: list[Callable[[str], str | None]] = []

    def add(self, name: str, content: str) -> None:
        """Create or replace a document."""
        self._made[name] = (content, self._clock.now())

    def content(self, name: str) -> str | None:
        """The content of a document; None if no document has that name or ARN."""
        for source in self.sources:
            found = source(name)
            if found is not None:
                return found
        made = self._made.get(name.rsplit("/", 1)[-1])
        return made[0] if made else None

    def all(self) -> Mapping[str, str]:
        """The documents created here, by name."""
        return {name: content for name, (content, _) in self._made.items()}

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {"DescribeDocument": self.describe, "GetDocument": self.get, "CreateDocument": self.create}

    def create(self, request: Shape) -> Shape:
        """CreateDocument."""
        if request["Name"] in self._made:
            raise AwsError("DocumentAlreadyExists", f"Document {request['Name']} already exists.")
        self.add(request["Name"], request["Content"])
        return {"DocumentDescription": self._description(request["Name"])}

    def describe(self, request: Shape) -> Shape:
        """DescribeDocument."""
        return {"Document": self._description(request["Name"])}

    def get(self, request: Shape) -> Shape:
        """GetDocument."""
        described = self._description(request["Name"])
        content, _ = self._made[described["Name"]]
        return {
            "Name": described["Name"],
            "DocumentVersion": "1",
            "Status": "Active",
            "Content": content,
            "DocumentType": "Command",
            "DocumentFormat": "JSON",
        }

    def _description(self, asked: str) -> Shape:
        name = asked.rsplit("/", 1)[-1]
        if name not in self._made:
            raise AwsError("InvalidDocument", f"Document with name {name} does not exist.")
        content, made_at = self._made[name]
        return {
            "Name": name,
            "Hash": hashlib.sha256(content.encode()).hexdigest(),
            "HashType": "Sha256",
            "Status": "Active",
            "CreatedDate": made_at,
            "DocumentVersion": "1",
            "LatestVersion": "1",
            "DefaultVersion": "1",
            "DocumentType": "Command",
            "DocumentFormat": "JSON",
            "SchemaVersion": "2.2",
            "PlatformTypes": ["Linux"],
            "Parameters": _declared(content),
        }


def _declared(content: str) -> list[Shape]:
    """The parameters that a document declares, as DescribeDocument shows them."""
    declared = json.loads(content).get("parameters") or {}
    return [
        {"Name": name, "Type": one["type"], **({"DefaultValue": str(one["default"])} if "default" in one else {})}
        for name, one in declared.items()
    ]
