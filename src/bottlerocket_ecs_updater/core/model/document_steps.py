"""The steps of the updater's three Run Command documents, as the stack and the simulator have them."""

from __future__ import annotations

from collections.abc import Mapping

from bottlerocket_ecs_updater.core.model.run_command import DocumentKind

APPLY_STEPS = (
    "test -n '{{replace}}' && apiclient update check | tr -d ' \\n' | "
    'grep -q \'"staging_partition":{[^}]*"version":"{{replace}}"\' && apiclient update cancel',
    "apiclient update apply",
)
"""The first step cancels the version in the parameter, and only that, if it is what is staged.

So a command that is delivered late or twice never cancels another version: apiclient refuses it, as it did before.
"""

PLAIN_APPLY = ("apiclient update apply",)
"""The steps of earlier documents, which cannot replace an update that is ready to boot."""

REBOOT_STEPS = (
    "test -n '{{boots}}' || exec apiclient reboot",
    "cat /proc/sys/kernel/random/boot_id | tr -d '\\n-' | grep -qxE '{{boots}}' || exit 71",
    "apiclient update check || true",
    "apiclient raw -u /updates/status | tr -d ' \\n' | grep -q '\"update_state\":\"Ready\"' || exit 72",
    "apiclient raw -u /updates/status | tr -d ' \\n' | "
    'grep -q \'"staging_partition":{[^}]*"version":"{{version}}"\' || exit 72',
    "apiclient raw -u /updates/status | tr -d ' \\n' | "
    'grep -q \'"available_updates":\\[[^]]*"{{version}}"\' || exit 73',
    "apiclient reboot",
)
"""The host reboots only on one of these boots, and only into this version (see `core/model/reboots.py`).

So a command that the agent runs again after the reboot, or delivers late, does nothing.
"""

PLAIN_REBOOT = ("apiclient reboot",)
"""The steps of earlier documents, which reboot a host on any boot into whatever is staged."""

STEPS: Mapping[DocumentKind, tuple[str, ...]] = {
    DocumentKind.CHECK: ("cat /proc/sys/kernel/random/boot_id", "apiclient update check"),
    DocumentKind.APPLY: APPLY_STEPS,
    DocumentKind.REBOOT: REBOOT_STEPS,
}
"""The steps that this version of the updater expects in each document, in order."""
