from __future__ import annotations

import pytest
from tests.core.builders import (
    NOW,
    a_claim,
    a_new_boot,
    a_return,
    available,
    claimed,
    drained_by_us,
    idle,
    instance,
    pending,
    problem,
    ready,
    staged,
)

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.host_report import Problem
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress

REBOOTING = a_claim(ClaimPhase.REBOOTING)


@pytest.mark.parametrize(
    ("one", "phase"),
    [
        (instance(), Phase.UNKNOWN),
        (instance(says=problem(Problem.FAILED)), Phase.UNKNOWN),
        (instance(says=idle()), Phase.CURRENT),
        (instance(says=available()), Phase.AVAILABLE),
        (instance(says=staged()), Phase.AVAILABLE),
        (instance(says=available(), pending=pending(DocumentKind.CHECK)), Phase.AVAILABLE),
        (instance(says=available(), pending=pending(DocumentKind.APPLY)), Phase.STAGING),
        (instance(says=ready()), Phase.READY),
        (claimed(), Phase.DRAINING),
        (claimed(status=Status.ACTIVE, progress=RunProgress(claimed_at=NOW)), Phase.DRAINING),
        (claimed(claim=REBOOTING), Phase.REBOOTING),
        (claimed(claim=REBOOTING, registration=None), Phase.REBOOTING),
        (claimed(claim=REBOOTING, progress=drained_by_us(REBOOTING, new_boot=a_new_boot(NOW))), Phase.VERIFYING),
        (
            claimed(
                claim=REBOOTING, progress=drained_by_us(REBOOTING, new_boot=a_new_boot(NOW), sent_return=a_return(NOW))
            ),
            Phase.RETURNING,
        ),
        (claimed(progress=drained_by_us(a_claim(), sent_return=a_return(NOW))), Phase.RETURNING),
        (claimed(claim=a_claim(ClaimPhase.QUARANTINED)), Phase.QUARANTINED),
    ],
)
def test_a_phase_is_derived_from_all_sources(one: Instance, phase: Phase) -> None:
    assert phase_of(one) is phase
