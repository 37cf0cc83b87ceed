"""The templates of a release: with its own images by digest, and without the rule that asks for one.

    python stacks/release.py AMD64_IMAGE@sha256:… ARM64_IMAGE@sha256:… FOLDER

A stack for one cluster that still names an image of the Go updater gets this release's image, and keeps any instance.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TEMPLATES = tuple(Path(__file__).with_name(name) for name in ("bottlerocket-ecs-updater.yaml", "fleet.yaml"))
BY_DIGEST = re.compile(r"[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}")
NO_IMAGES = "Image: {Amd64: '', Arm64: ''}"
RULE_OF_THE_TREE = re.compile(r"  # Only in the tree:.*?(?=  NamesInstances:\n)", re.DOTALL)
IMAGES = re.compile(r"- \['', ('.*')\]\n")
NAMES_INSTANCES = "  NamesInstances:\n"
OVER_PREDECESSOR = "  OverPredecessor: "
"""The condition of the template that can be deployed over a stack of the Go updater."""


def released(template: str, amd64: str, arm64: str) -> str:
    """The template with these images. Raises ValueError for an image without a digest, and for another template."""
    for image in (amd64, arm64):
        if not BY_DIGEST.fullmatch(image):
            raise ValueError(f"{image} is not named by its digest, as in registry/name@sha256:…")
    rule = RULE_OF_THE_TREE.search(template)
    earlier = IMAGES.search(rule[0]) if rule else None
    if rule is None or earlier is None or template.count(NO_IMAGES) != 1:
        raise ValueError("this is not the template of the tree")
    text = template.replace(rule[0], "")
    if OVER_PREDECESSOR in template:
        condition = f"    RuleCondition: !Not [{{'Fn::Contains': [[{earlier[1]}], !Ref UpdaterImage]}}]\n"
        text = text.replace(NAMES_INSTANCES, NAMES_INSTANCES + condition)
    return text.replace(NO_IMAGES, f"Image: {{Amd64: '{amd64}', Arm64: '{arm64}'}}")


def main(amd64: str, arm64: str, folder: str) -> None:
    """Write all templates."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in TEMPLATES:
        text = released(path.read_text(encoding="utf-8"), amd64, arm64)
        (Path(folder) / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (TypeError, ValueError) as error:
        sys.exit(f"stacks/release.py: {error}")
