"""The findings of `doctor`, as pure functions of the facts that it read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, assert_never

from bottlerocket_ecs_updater.core.decision.unclaimed.assess import END_OF_LIFE_VARIANTS, out_of_reach
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Registration
from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_APPLY, PLAIN_REBOOT, STEPS
from bottlerocket_ecs_updater.core.model.finding import Finding, fail, fine, warn
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.passing import needs_a_person, never_passes
from bottlerocket_ecs_updater.core.model.published import Published, PublishedUnread
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.planning.launch_advice import Advice, StartsOld, StartsUnknown, advise
from bottlerocket_ecs_updater.core.planning.rollout_advice import TakesDrained
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.published import PUBLISHED_NOT_READ, published_parameter

NOT_ALLOWED_WHY = "not allowed"
"""How the text of a denial begins."""

REDEPLOY = "Deploy the stack of this version, and use the document names from its task definition"

SKEW_UNNOTICED = timedelta(seconds=2)
"""AWS's responses give the time in whole seconds."""
PUBLISHED_TO_DO = (
    "Allow ssm:GetParameters on /aws/service/bottlerocket/*, replace hosts of a variant that AWS does not publish any "
    "more, or remove --published-only"
)

SKEW_TOLERATED = timedelta(seconds=30)
SKEW_REFUSED = timedelta(minutes=5)
"""AWS rejects signatures that are older."""

_NOT_REACHED = frozenset(
    {
        Reason.AGENT_DISCONNECTED,
        Reason.UNKNOWN_TO_SSM,
        Reason.HYBRID_ACTIVATION,
        Reason.SSM_CONNECTION_LOST,
        Reason.SSM_STATUS_UNKNOWN,
    }
)
"""Holds of instances that are in service, but cannot be reached."""

_PROBLEMS: Mapping[Problem, tuple[str, str]] = {
    Problem.TOO_OLD: (
        "it runs a version older than 1.0.5, whose apiclient cannot update the host",
        "Replace the instance with one from a current AMI",
    ),
    Problem.BUSY: ("another update command holds its update lock", "Wait, then run `doctor` again"),
    Problem.FAILED: (
        "it could not reach its update repository",
        "Let the host reach updates.bottlerocket.aws on port 443, or the repository in its settings.updates",
    ),
    Problem.NO_BOOT_ID: ("its answer has no boot id", REDEPLOY),
    Problem.UNREADABLE: ("its answer cannot be read", REDEPLOY),
    Problem.UNKNOWN_STATE: ("its update state is unknown to this version of the updater", "Upgrade the updater"),
    Problem.NO_ANSWER: (
        "it did not answer in time",
        "Check the command in Run Command's history, and the host's control container",
    ),
}


def judge_document(kind: DocumentKind, name: str, content: str) -> Finding:
    """Whether a document runs the expected steps; the operator's own documents only have to exist."""
    expected = STEPS.get(kind)
    if expected is None:
        return fine("document", name, "it exists")
    steps = _steps_of(content)
    if steps is None:
        return fail("document", name, "it is not a Command document with shell steps", REDEPLOY)
    if kind is DocumentKind.APPLY and steps == PLAIN_APPLY:
        why = "it cannot replace an update that is staged and must not be booted"
        return warn("document", name, f"it runs {_quoted(steps)}: {why}", REDEPLOY)
    if kind is DocumentKind.REBOOT and steps == PLAIN_REBOOT:
        why = "it checks neither the boot nor the version, so each host is checked more often, by commands of their own"
        return warn("document", name, f"it runs {_quoted(steps)}: {why}", REDEPLOY)
    if steps != expected:
        return fail("document", name, f"it runs {_quoted(steps)} instead of {_quoted(expected)}", REDEPLOY)
    return fine("document", name, f"it runs {_quoted(expected)}")


def _steps_of(content: str) -> tuple[str, ...] | None:
    try:
        shape = json.loads(content)
        steps = [step for step in shape["mainSteps"] if step["action"] == "aws:runShellScript"]
        return tuple(str(line).strip() for step in steps for line in step["inputs"]["runCommand"] if str(line).strip())
    except (KeyError, TypeError, ValueError):
        return None


def _quoted(steps: Sequence[str]) -> str:
    return " and ".join(f"`{step}`" for step in steps) or "nothing"


def judge_clock(skew: timedelta) -> Finding:
    """How far this machine's clock differs from the time in AWS's responses."""
    seconds = abs(skew.total_seconds())
    side = "behind" if skew > timedelta(0) else "ahead of"
    said = f"this machine's clock is {seconds:.0f} s {side} that of AWS"
    if abs(skew) < SKEW_UNNOTICED:
        return fine("clock", "skew", "this machine's clock agrees with that of AWS")
    remedy = "Set the clock of this machine by NTP (169.254.169.123 on EC2)"
    if abs(skew) >= SKEW_REFUSED:
        return fail("clock", "skew", said, remedy)
    return warn("clock", "skew", said, remedy) if abs(skew) >= SKEW_TOLERATED else fine("clock", "skew", said)


def judge_fleet(fleet: Fleet) -> Iterator[Finding]:
    """Check every instance, and which image new ones start with."""
    if not fleet.instances:
        yield warn("instance", "none", "the cluster has no container instances", "Start some, then run `doctor` again")
    for id_ in sorted(fleet.instances):
        yield from judge_instance(fleet.instances[id_])
    for advice in advise(fleet):
        yield warn("launch", advice.group or "groups", str(advice), _remedy_of(advice))


def judge_published(fleet: Fleet, policy: Policy) -> Iterator[Finding]:
    """Whether the newest published version is known for each variant and architecture, if the settings need it."""
    if not policy.rules.versions.published_only:
        return
    ours = (one.registration for one in fleet.instances.values() if one.bottlerocket)
    wanted = sorted({name for one in ours if one is not None and (name := published_parameter(one)) is not None})
    states = {name: fleet.published.get(name, PUBLISHED_NOT_READ) for name in wanted}
    # If one can be read, the others do not lack a permission: AWS publishes nothing for their variant.
    grade = warn if any(isinstance(state, Published) for state in states.values()) else fail
    for parameter, state in states.items():
        match state:
            case Published(version=version):
                yield fine("published", parameter, f"the newest published version is {version}")
            case PublishedUnread(why=why):
                yield grade("published", parameter, f"{why}, so hosts of this variant are held", PUBLISHED_TO_DO)


def _remedy_of(advice: Advice) -> str:
    match advice:
        case StartsOld():
            return _as_sentence(advice.remedy)
        case StartsUnknown(why=why) if NOT_ALLOWED_WHY in why:
            return "Give the role that runs `doctor` the permission that it names"
        case StartsUnknown():
            return "Use an AMI whose name or public parameter names its version, and check that the source exists"
        case _:
            assert_never(advice)


def _as_sentence(remedy: str) -> str:
    return remedy[:1].upper() + remedy[1:]


def judge_instance(instance: Instance) -> Iterator[Finding]:
    """Whether the updater can update one instance; if not, the first reason, after what else is worth knowing."""
    registration = instance.registration
    if registration is None:
        why = instance.undescribed or "ECS does not describe it"
        yield fail("instance", instance.id, why, "Check the instance in the ECS console, then run `doctor` again")
    elif registration.variant is None:
        yield fine("instance", instance.id, "it does not run Bottlerocket, so it is left alone")
    elif instance.claim is not None:
        yield _judge_claimed(instance.id, instance.claim)
    elif (apart := _left_alone(instance)) is not None:
        yield _judge_hold(instance.id, apart)
    else:
        known = list(_worth_knowing(instance, registration))
        reason = next(_troubles(instance, registration), None)
        found = [*known, *([reason] if reason else [])]
        yield from found or [fine("instance", instance.id, _portrait(instance, registration))]


def _left_alone(instance: Instance) -> Hold | None:
    """Why the updater would not even check an instance that it could reach; None if it would."""
    why = out_of_reach(instance)
    return why if why is not None and why.reason not in _NOT_REACHED else None


def _judge_hold(id_: InstanceId, why: Hold) -> Finding:
    """The finding for a hold, in the words that a plan has for it."""
    grade = fail if never_passes(why) and needs_a_person(why) else warn
    return grade("instance", id_, str(why), _as_sentence(why.remedy))


def _judge_claimed(id_: InstanceId, claim: Claim) -> Finding:
    """A claimed instance may be out of reach because of its update."""
    said = f"run {claim.run} is updating it from {claim.source} to {claim.target} ({claim.phase.value})"
    if claim.phase is not ClaimPhase.QUARANTINED:
        return warn("instance", id_, said, "Run `doctor` again when that update is finished")
    said = f"run {claim.run} quarantined it: it did not come back healthy from its update to {claim.target}"
    return fail("instance", id_, said, "Repair or terminate it; the next run returns a healthy one")


def _worth_knowing(instance: Instance, registration: Registration) -> Iterator[Finding]:
    """What does not keep an instance from being updated, or is not known. It must not hide a reason that does."""
    if _gets_no_versions(registration):
        remedy = "Replace the instance with one of aws-ecs-2 or later: a variant cannot be changed in place"
        yield warn("instance", instance.id, f"its variant {registration.variant} gets no new versions", remedy)
    reached = instance.reach is PingStatus.ONLINE and not (instance.send_denied or instance.send_refused)
    if registration.connected and reached and instance.check_answer is None:
        remedy = "Fix what this report says about the check document, then run `doctor` again"
        yield warn("instance", instance.id, "it was not asked for an update", remedy)


def _gets_no_versions(registration: Registration) -> bool:
    variant = registration.variant or ""
    return any(variant == end or variant.startswith(f"{end}-") for end in END_OF_LIFE_VARIANTS)


def _troubles(instance: Instance, registration: Registration) -> Iterator[Finding]:
    """The reasons why an instance cannot be updated. Each may be the cause of those after it."""
    why = out_of_reach(instance)
    # A variant that gets no more versions has no update that could fail.
    if why is not None and (why.reason is Reason.AGENT_DISCONNECTED or not _gets_no_versions(registration)):
        yield _judge_hold(instance.id, why)
    if _gets_no_versions(registration):
        return
    denied = instance.send_denied or instance.send_refused
    if denied:
        remedy = "Add its Auto Scaling group to the stack's AutoScalingGroups, or give it the tag in InstanceTag"
        if ":instance/" not in denied:
            remedy = "Allow ssm:SendCommand on the check document to the task role"
        yield fail("instance", instance.id, f"commands cannot be sent to it: {denied}", remedy)
    answer = instance.check_answer.answer if instance.check_answer is not None else None
    if isinstance(answer, HostProblem):
        said, remedy = _PROBLEMS[answer.problem]
        detail = f" ({answer.detail})" if answer.detail else ""
        yield fail("instance", instance.id, f"{said}{detail}", remedy)


def _portrait(instance: Instance, registration: Registration) -> str:
    report = instance.report
    runs = f"{registration.variant} {report.running}, {report.state.value}" if report else f"{registration.variant}"
    return f"Bottlerocket {runs}; the agent is connected, and Systems Manager reaches it"


def providers_of(fleet: Fleet) -> tuple[str, ...]:
    """The capacity providers of the cluster's Bottlerocket hosts."""
    registrations = (one.registration for one in fleet.instances.values() if one.bottlerocket)
    return tuple(sorted({each.capacity_provider for each in registrations if each and each.capacity_provider}))


def judge_protection(protected: Mapping[str, str], providers: Sequence[str]) -> Iterator[Finding]:
    """Check managed termination protection. `protected` are the providers that have it, with their groups."""
    for name in providers:
        if name in protected:
            advice = TakesDrained(name, protected[name])
            yield warn("capacity-provider", name, str(advice), _as_sentence(advice.remedy))
        else:
            yield fine("capacity-provider", name, "it has no managed termination protection")


def judge_image(image: str, wants: str) -> Iterator[Finding]:
    """Check the image of the task definition, and the architecture that the task needs."""
    if "@sha256:" in image:
        yield fine("image", image, f"it is named by its digest; the task needs {wants}")
    else:
        remedy = "Deploy with UpdaterImage=REPOSITORY@sha256:…, as `make publish` prints it"
        yield warn("image", image, "it is named by a tag, which can change under a running schedule", remedy)


def judge_platforms(image: str, wants: str, has: Iterable[str] | None) -> Finding:
    """Whether an image is for the architecture that the task needs; None means that its registry was not asked."""
    if has is None:
        said = f"whether it can be pulled, and is for {wants}, was not checked: `doctor` reads only Amazon ECR"
        return warn("image", image, said, f"See yourself: docker buildx imagetools inspect {image}")
    offered = sorted(has)
    if wants in offered:
        return fine("image", image, f"it is for {wants}")
    remedy = f'Publish it for {wants} (`make publish ARGS="--arch …"`), or deploy with another RuntimePlatform'
    return fail("image", image, f"the task needs {wants}, but the image is for {', '.join(offered) or 'none'}", remedy)


def judge_log_group(name: str, groups: Iterable[Mapping[str, Any]]) -> Finding:
    """Check the log group of the task."""
    found = next((group for group in groups if group.get("logGroupName") == name), None)
    if found is None:
        return warn("log-group", name, "it does not exist yet; the first task creates it", "Start the first run")
    days = found.get("retentionInDays")
    if days is None:
        remedy = f"Set a retention: aws logs put-retention-policy --log-group-name {name} --retention-in-days 90"
        return warn("log-group", name, "its log events never expire", remedy)
    return fine("log-group", name, f"it keeps log events for {days} days")
