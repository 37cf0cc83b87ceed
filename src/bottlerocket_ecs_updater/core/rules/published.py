"""Published versions only: a version that is newer than the public parameter of its variant is held.

AWS publishes the version of the newest Bottlerocket image for each variant and architecture as a public parameter of
Systems Manager, and moves it back when it withdraws a version. Hosts may be offered a version earlier or longer than
that, because their update repository is a different source. An unreadable parameter holds every version.

The value is a version with the commit that it was built from, such as `1.55.0-d93bb1b1`. Source: the public parameters
`/aws/service/bottlerocket/…/latest/image_version`, and the `image_version` of Bottlerocket's own build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.container_instance import Registration
from bottlerocket_ecs_updater.core.model.published import NewestPublished, Published, PublishedState, PublishedUnread
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed, time_text
from bottlerocket_ecs_updater.core.model.version import Version

PUBLISHED_FOLDER = "/aws/service/bottlerocket/"
ARCHITECTURE_ATTRIBUTE = "ecs.cpu-architecture"
"""ECS sets it to `x86_64` or `arm64`, which are also the names in the parameters."""

COUNTS_FOR = timedelta(minutes=15)
"""How long an answer counts when later calls fail: a moment of throttling must not end a run."""

PUBLISHED_NOT_READ = PublishedUnread("it has not been read yet")

_COMMIT = re.compile(r"-[0-9a-f]{8,40}$")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def published_parameter(registration: Registration) -> str | None:
    """The public parameter with the newest version for this host; None if ECS does not report which one that is."""
    parts = (registration.variant or "", registration.attributes.get(ARCHITECTURE_ATTRIBUTE, ""))
    if not all(_NAME.fullmatch(part) for part in parts):
        return None
    return f"{PUBLISHED_FOLDER}{'/'.join(parts)}/latest/image_version"


def build_of(parameter: str) -> str:
    """The variant and architecture of a parameter, such as `aws-ecs-2/x86_64`."""
    return "/".join(parameter.removeprefix(PUBLISHED_FOLDER).split("/")[:2])


def read_published(value: str) -> Version:
    """The version in the value of a parameter. Raises ValueError for anything else."""
    return Version.parse(_COMMIT.sub("", value.strip()))


def hold_unless_published(
    parameter: str | None,
    target: Version,
    states: Mapping[str, PublishedState],
    newest: Mapping[str, NewestPublished],
    now: datetime,
) -> Hold | None:
    """Why a host may not be updated to a version that is not published for it, or may not be; None if it is."""
    if parameter is None:
        why = f"ECS does not report its variant and its attribute {ARCHITECTURE_ATTRIBUTE}"
        return hold(Reason.PUBLISHED_UNKNOWN, version=target, build="its variant", why=why)
    state, build = states.get(parameter, PUBLISHED_NOT_READ), build_of(parameter)
    match state:
        case PublishedUnread(why=why):
            return hold(Reason.PUBLISHED_UNKNOWN, version=target, build=build, why=why)
        case Published(read_at=read_at) if has_passed(read_at, COUNTS_FOR, now):
            why = f"it was last read {time_text(read_at)}"
            return hold(Reason.PUBLISHED_UNKNOWN, version=target, build=build, why=why)
        case Published(version=latest) if target <= latest:
            return None
        case Published(version=latest):
            return _not_published(target, build, latest, newest.get(parameter))


def _not_published(target: Version, build: str, latest: Version, newest: NewestPublished | None) -> Hold:
    if newest is None or newest.back_at is None or target > newest.version:
        return hold(Reason.NOT_PUBLISHED, version=target, build=build, latest=latest)
    since = time_text(newest.back_at)
    return hold(Reason.VERSION_WITHDRAWN, version=target, build=build, latest=latest, since=since)
