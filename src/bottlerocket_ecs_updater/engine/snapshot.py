"""Looks at the cluster and checks hosts as a run does at its start, for plan, status and explain.

Writes nothing to the store, to ECS or to hosts. The only command it sends is the update check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.model.auto_scaling import Launches
from bottlerocket_ecs_updater.core.model.command import Check
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.published import NewestPublished, Published, see_published
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.unchecked import in_short
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.launch_advice import groups_of
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES, Policy
from bottlerocket_ecs_updater.engine.act.executor import Executor
from bottlerocket_ecs_updater.engine.look.looker import Looker
from bottlerocket_ecs_updater.engine.look.wants import Wants
from bottlerocket_ecs_updater.engine.ports import LaunchReader
from bottlerocket_ecs_updater.engine.resume import after_first_look, load_earlier_runs
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.first_seen import FirstSeen
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.engine.store.shared_state import SharedState
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, UpdaterError

PLAN_RUN = RunId("plan")
"""No run has this id, so every claim belongs to another run."""


def take_snapshot(ports: Ports, policy: Policy, *, launches: LaunchReader | None = None, ask: bool = True) -> Fleet:
    """Look at the whole cluster and, with `ask`, check every available host for an update.

    Does not check hosts with an apply in progress, or with a claim. Waits for the slowest answer, up to the time limit
    of a check and its retries. Without `launches`, nothing is known of how instances are launched. Raises what the
    ports raise.
    """
    now, store = ports.clock.now(), ports.store
    known = RunState(Fleet(PLAN_RUN, now, now, now, {}, own=ports.own, store=ports.store_name))
    looker = Looker(known, ports, policy)
    executor = Executor(known, replace(ports, ledger=UnkeptLedger()))
    load_earlier_runs(known, ports.ledger)
    looker.look(Wants(full=True, listing=True, services=True))
    after_first_look(known, looker, ports.ledger)
    limit = policy.answer_timeout * CHECK_TRIES
    while ask and not has_passed(now, limit, known.fleet.at):
        decision = decide(known.fleet, policy)
        checks = _checks(decision, known)
        executor.perform([(check,) for check in checks])
        if not checks and not _answers_due(known) and not _asked_again(decision, known):
            break
        ports.clock.sleep(policy.poll_interval)
        looker.look(Wants())
    if ask:
        looker.surveyor.look_around(known.instances.keys())
    first_seen = _first_seen(known, FirstSeen(store))
    return replace(
        known.fleet,
        shared=SharedState(store, ports.state, ports.place, policy.rules.stages).look(known.fleet.at),
        past=replace(known.fleet.past, published=_newest_published(known), first_seen=first_seen),
        launches=_launches(known.fleet, launches) if launches is not None and ports.survey is not None else None,
    )


def _launches(fleet: Fleet, reader: LaunchReader) -> Launches:
    """How the hosts' Auto Scaling groups launch instances, or one line why that is unknown. Raises no AWS errors."""
    ours = [one for one in fleet.instances.values() if one.bottlerocket and one.registration is not None]
    if any(one.around is None or one.around.membership is None for one in ours):
        return Launches({}, "Auto Scaling did not report the groups of all instances")
    groups = groups_of(fleet)
    try:
        return Launches(reader.launches(groups) if groups else {})
    except (LeaseLost, Interrupted):
        raise
    except UpdaterError as error:
        return Launches({}, in_short(str(error)))


def _first_seen(known: RunState, sightings: FirstSeen) -> Mapping[Version, datetime]:
    """When versions that hosts reported were first seen, from the ledger and the shared store. Writes nothing."""
    shared = {version: sightings.look(version) for version in known.reported_versions()}
    first_seen = dict(known.fleet.past.first_seen)
    for version, at in shared.items():
        if at is not None:
            first_seen[version] = min(at, first_seen.get(version, at))
    return first_seen


def _newest_published(known: RunState) -> Mapping[str, NewestPublished]:
    """The newest version that each public parameter ever named, with what was read now. Writes nothing."""
    newest = known.fleet.past.published
    read = {name: state for name, state in known.fleet.published.items() if isinstance(state, Published)}
    return {**newest, **{name: see_published(newest.get(name), state) for name, state in read.items()}}


def _checks(decision: Decision, known: RunState) -> list[Check]:
    commands = (command for command in decision.commands if isinstance(command, Check))
    return [check for check in commands if known.instance(check.instance).claim is None]


def _answers_due(known: RunState) -> bool:
    pending_commands = (instance.pending for instance in known.instances.values())
    return any(pending is not None and pending.kind is DocumentKind.CHECK for pending in pending_commands)


def _asked_again(decision: Decision, known: RunState) -> bool:
    """Whether failed checks will be retried soon. A held lock does not count: it may be held for long."""
    return any(
        instance.claim is None
        and instance.check_answer is not None
        and isinstance(instance.check_answer.answer, HostProblem)
        and instance.check_answer.answer.problem is not Problem.BUSY
        and decision.steps[id_].look_at is not None
        for id_, instance in known.instances.items()
        if id_ in decision.steps
    )
