from __future__ import annotations

import pytest

from bottlerocket_ecs_updater.core.claim import ClaimPhase
from bottlerocket_ecs_updater.core.fleet import Instance, Kind, Status, Trail
from bottlerocket_ecs_updater.core.host import Problem
from bottlerocket_ecs_updater.core.phase import Phase, phase_of

from .builders import (
    NOW,
    a_claim,
    available,
    claimed,
    drained_by_us,
    flight,
    idle,
    instance,
    problem,
    ready,
    staged,
)

REBOOTING = a_claim(ClaimPhase.REBOOTING)


@pytest.mark.parametrize(
    ("one", "phase"),
    [
        (instance(), Phase.UNKNOWN),
        (instance(says=problem(Problem.FAILED)), Phase.UNKNOWN),
        (instance(says=idle()), Phase.CURRENT),
        (instance(says=available()), Phase.AVAILABLE),
        (instance(says=staged()), Phase.AVAILABLE),
        (instance(says=available(), flight=flight(Kind.CHECK)), Phase.AVAILABLE),
        (instance(says=available(), flight=flight(Kind.APPLY)), Phase.STAGING),
        (instance(says=ready()), Phase.READY),
        (claimed(), Phase.DRAINING),
        (claimed(status=Status.ACTIVE, trail=Trail(claimed_at=NOW)), Phase.DRAINING),
        (claimed(claim=REBOOTING), Phase.REBOOTING),
        (claimed(claim=REBOOTING, registration=None), Phase.REBOOTING),
        (claimed(claim=REBOOTING, trail=drained_by_us(REBOOTING, proof_at=NOW)), Phase.VERIFYING),
        (claimed(claim=REBOOTING, trail=drained_by_us(REBOOTING, proof_at=NOW, return_sent_at=NOW)), Phase.RETURNING),
        (claimed(trail=drained_by_us(a_claim(), return_sent_at=NOW)), Phase.RETURNING),
        (claimed(claim=a_claim(ClaimPhase.QUARANTINED)), Phase.QUARANTINED),
    ],
)
def test_a_phase_is_read_from_what_the_witnesses_say(one: Instance, phase: Phase) -> None:
    assert phase_of(one) is phase
