from __future__ import annotations

from tests.core.builders import NOW, a_claim, claimed, drained_by_us, fleet, instance, service, task

from bottlerocket_ecs_updater.core.decision.evidence import (
    EVIDENCE_FRESH_LATER,
    LOSING_ASKED,
    losing_on_trial,
    suspicious,
)
from bottlerocket_ecs_updater.core.model.container_instance import Task
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.run_progress import SentDrain
from bottlerocket_ecs_updater.core.model.services import Service, Services
from bottlerocket_ecs_updater.simulator.world.broken_versions import FAILED_NOTICEABLE

TRIAL = InstanceId("i-a")


def losing(*services: Service, on_host: str = "") -> frozenset[str]:
    one = instance("i-a", tasks=(task(on_host),) if on_host else ())
    return losing_on_trial([TRIAL], fleet(one, services=Services(services, NOW)))


def test_a_service_whose_tasks_failed_on_the_host_is_asked_although_none_is_there_now() -> None:
    """They fail within seconds, and ECS waits before it starts the next one.

    A version that breaks tasks came to one more host: the next run saw none of its tasks on the updated one.
    """
    assert losing(service("web", extra_starts=2), service("api", extra_starts=0)) == {"web"}


def test_a_service_that_cannot_run_on_the_host_is_not_asked() -> None:
    assert losing(service("batch", extra_starts=5, providers=("other",))) == set()


def test_one_extra_start_may_be_a_coincidence() -> None:
    assert losing(service("web", extra_starts=1), on_host="web") == set()


def test_the_services_that_started_the_most_are_asked_first() -> None:
    many = [service(f"s{number:02}", extra_starts=number + 1) for number in range(LOSING_ASKED + 5)]
    assert losing(*many) == {f"s{number:02}" for number in range(5, LOSING_ASKED + 5)}


def test_a_drain_explains_extra_starts_only_until_its_host_is_empty() -> None:
    """ECS starts tasks in place of those on the host first. When the host is empty, it has stopped those."""
    drain = SentDrain(NOW, moving={"web": 2})
    web = service("web", extra_starts=2)

    def suspected(*left: Task) -> tuple[Service, ...]:
        one = claimed("i-a", tasks=left, progress=drained_by_us(a_claim(), drain=drain))
        return suspicious(fleet(one, services=Services((web,), NOW)), {web.arn: 0})

    assert suspected(task("web")) == ()
    assert suspected() == (web,)


def test_services_are_read_again_before_a_reboot_as_soon_as_a_failure_must_be_noticed() -> None:
    assert EVIDENCE_FRESH_LATER < FAILED_NOTICEABLE
