"""`apiclient get` and `apiclient set`, for update settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.repository import WAVE_SEEDS, parse_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine, Settings


def settings_report(machine: HostMachine, prefixes: Sequence[str]) -> dict[str, Any]:
    """The output of `apiclient get PREFIX…`; an empty object for unknown settings."""
    everything = {"os": _os(machine), "settings": {"updates": _updates(machine.settings)}}
    if not prefixes:
        return everything
    shown: dict[str, Any] = {}
    for prefix in prefixes:
        _merge(shown, _under(everything, prefix.strip("/").split(".")))
    return shown


def parse_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse `updates.version-lock=1.2.3 …` or `--json {…}` into the update settings to change.

    Raises ValueError for a setting that the simulated host does not have.
    """
    match arguments:
        case ["-j" | "--json", text]:
            value = json.loads(text)
            value = value.get("settings", value)
            wanted: dict[str, Any] = value.get("updates", {})
            unknown = value.keys() - {"updates"}
            if unknown:
                raise ValueError(f"no such setting here: {min(unknown)}")
            return wanted
        case _:
            return dict(_pair(argument) for argument in arguments)


def change_settings(settings: Settings, wanted: dict[str, Any]) -> None:
    """Change all the settings, or none. Raises ValueError with the reason."""
    for key, value in wanted.items():
        _validate(key, value)
    for key, value in wanted.items():
        match key:
            case "version-lock":
                settings.version_lock = "latest" if value == "latest" else str(parse_version(value))
            case "ignore-waves":
                settings.ignore_waves = value
            case "seed":
                settings.seed = value
            case "metadata-base-url":
                settings.metadata_base_url = value
            case _:
                raise AssertionError(f"validated, and not known: {key}")


def _validate(key: str, value: object) -> None:
    match key, value:
        case "version-lock", "latest":
            return
        case "version-lock", str(text):
            parse_version(text)
        case "ignore-waves", bool():
            return
        case "seed", int(seed) if 0 <= seed < WAVE_SEEDS:
            return
        case "metadata-base-url", str():
            return
        case _:
            raise ValueError(f"unable to set settings.updates.{key} to {value!r}")


def _pair(argument: str) -> tuple[str, Any]:
    path, equals, text = argument.partition("=")
    key = path.removeprefix("settings.")
    if not equals or not key.startswith("updates."):
        raise ValueError(f"no such setting here: {argument}")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    return key.removeprefix("updates."), value


def _os(machine: HostMachine) -> dict[str, str]:
    return {
        "arch": machine.spec.arch,
        "build_id": "5d27ae74",
        "pretty_name": f"Bottlerocket OS {machine.running} ({machine.variant})",
        "variant_id": machine.variant,
        "version_id": machine.running,
    }


def _updates(settings: Settings) -> dict[str, Any]:
    return {
        "ignore-waves": settings.ignore_waves,
        "metadata-base-url": settings.metadata_base_url,
        "seed": settings.seed,
        "targets-base-url": settings.targets_base_url,
        "version-lock": settings.version_lock,
    }


def _under(value: dict[str, Any], path: list[str]) -> dict[str, Any]:
    first, *rest = path
    if first not in value:
        return {}
    below = value[first]
    if rest:
        below = _under(below, rest) if isinstance(below, dict) else {}
    return {first: below} if below not in ({}, None) else {}


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
