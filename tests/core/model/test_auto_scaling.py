import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.model.auto_scaling import (
    InGroup,
    LifecycleState,
    NoGroup,
    refresh_active,
    taken_away,
)
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.rules.auto_scaling import leave_to_group


def in_state(text: str, *, refreshing: bool = False) -> InGroup:
    return InGroup("web", LifecycleState.parse(text), refreshing)


@pytest.mark.parametrize("state", ["InService", "Detached"])
def test_an_instance_that_its_group_leaves_in_peace_is_ours_to_update(state: str) -> None:
    assert leave_to_group(in_state(state)) is None


@given(st.text() | st.builds("{}:{}".format, st.sampled_from([state.value for state in LifecycleState]), st.text()))
def test_only_two_lifecycle_states_leave_an_instance_to_the_updater(text: str) -> None:
    ours = text.partition(":")[0] in ("InService", "Detached")
    assert (leave_to_group(in_state(text)) is None) == ours
    assert leave_to_group(in_state(text, refreshing=True)) is not None or text.startswith("Detached")


@pytest.mark.parametrize("membership", [None, NoGroup()])
def test_an_instance_without_a_group_is_ours_to_update(membership: NoGroup | None) -> None:
    assert leave_to_group(membership) is None


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("Terminating", "Terminating"),
        ("Terminating:Wait", "Terminating"),
        ("Terminating:Retained", "Terminating"),
        ("Terminated", "Terminating"),
        ("Standby", "Standby"),
        ("EnteringStandby", "Standby"),
        ("Detaching", "Detaching"),
        ("Pending:Proceed", "Pending"),
        ("ReplacingRootVolume:Wait", "ReplacingRootVolume"),
        ("RootVolumeReplaced", "ReplacingRootVolume"),
        ("Quarantined", "unknown to this updater"),
    ],
)
def test_an_instance_that_its_group_works_on_is_left_to_it(state: str, shown: str) -> None:
    held = leave_to_group(in_state(state))
    assert held is not None
    assert held.reason is Reason.LEAVING_GROUP
    assert str(held) == f"its lifecycle state in Auto Scaling group web is {shown}"


@pytest.mark.parametrize("state", ["Warmed:Stopped", "Warmed:Hibernated", "Warmed:Pending:Wait", "Warmed:Terminating"])
def test_an_instance_of_a_warm_pool_is_named_as_that(state: str) -> None:
    held = leave_to_group(in_state(state))
    assert held == taken_away(in_state(state))
    assert str(held) == "its Auto Scaling group web keeps it in its warm pool"


@pytest.mark.parametrize("state", ["InService", "Standby", "EnteringStandby", "Detaching", "Pending:Wait", "Novel"])
def test_the_claim_of_an_instance_that_stays_in_the_cluster_is_not_dropped(state: str) -> None:
    assert taken_away(in_state(state)) is None


def test_an_instance_under_an_instance_refresh_is_left_to_it() -> None:
    held = leave_to_group(in_state("InService", refreshing=True))
    assert str(held) == "an instance refresh of its Auto Scaling group web is in progress"


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Baking", "RollbackInProgress", "Cancelling", "Novel"])
def test_a_refresh_that_may_still_replace_instances_is_active(status: str) -> None:
    assert refresh_active(status)


@pytest.mark.parametrize("status", ["Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"])
def test_a_refresh_that_has_ended_is_not(status: str) -> None:
    assert not refresh_active(status)
