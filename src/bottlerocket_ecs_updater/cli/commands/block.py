"""`block` and `unblock`: no cluster updates to the version, whatever any other rule says, until it is unblocked."""

from __future__ import annotations

from bottlerocket_ecs_updater.cli.version_acts import ActSettings, VersionWord, act, read_version
from bottlerocket_ecs_updater.engine.store.shared_state import with_block


def block(version: VersionWord, /, *, settings: ActSettings) -> int:
    """Stop all clusters that share the state store from updating to a version. Active runs stop within a minute."""
    which = read_version(version)
    return act(
        settings,
        "block",
        which,
        f"blocked {which} for all clusters of the state store",
        lambda acts, made: with_block(acts, which, made),
        lambda made: f"{which} is blocked {made}",
        lambda acts: acts.said.blocked.get(which),
    )


def unblock(version: VersionWord, /, *, settings: ActSettings) -> int:
    """Let clusters update to a blocked version again, if their other rules allow it."""
    which = read_version(version)
    return act(
        settings,
        "unblock",
        which,
        f"unblocked {which} for all clusters of the state store",
        lambda acts, _: with_block(acts, which, None),
        lambda _: f"{which} is not blocked any more",
    )
