"""The bill of materials of the image, as CycloneDX 1.6: each distribution with its version, licence and package URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

LICENCE_MAX_CHARACTERS = 100
"""Some distributions write the whole text of a licence where its name belongs."""


def write_sbom(own: Distribution, dependencies: Iterable[Distribution], path: Path) -> None:
    """Write and validate it. Ends the build if the result does not match the schema."""
    bom = Bom()
    root = _component(own, ComponentType.APPLICATION)
    bom.metadata.component = root
    components = {_normal(each.name): _component(each, ComponentType.LIBRARY) for each in dependencies}
    for component in components.values():
        bom.components.add(component)
    for each in (own, *dependencies):
        needed = [components[name] for name in _needed(each) if name in components]
        bom.register_dependency(root if each is own else components[_normal(each.name)], needed)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise SystemExit(f"the bill of materials is not valid: {problem}")
    path.write_text(text + "\n", encoding="utf-8")


def _component(distribution: Distribution, kind: ComponentType) -> Component:
    name, version = distribution.name, distribution.version
    url = PackageURL("pypi", name=_normal(name), version=version)
    component = Component(name=name, version=version, type=kind, purl=url, bom_ref=str(url))
    licence = _licence(distribution)
    if licence:
        component.licenses.add(LicenseFactory().make_from_string(licence))
    return component


def _licence(distribution: Distribution) -> str:
    metadata = distribution.metadata
    for field in ("License-Expression", "License"):
        named = (metadata.get(field) or "").strip()
        if named and len(named) <= LICENCE_MAX_CHARACTERS:
            return named
    classified = [text for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    return classified[0].rsplit(" :: ", 1)[-1] if classified else ""


def _needed(distribution: Distribution) -> list[str]:
    """The names of its requirements, whatever their conditions; those that are not installed are left out."""
    return [_normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in distribution.requires or ()]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
