"""The mutants: what is broken, where, and which tests should notice. Each is small enough to be made by mistake."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "src/bottlerocket_ecs_updater"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break the program: texts of a file, each found there once, and what stands in their place."""

    what: str
    file: str
    """Below the package."""
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    """Where to look for the test that notices, in this order; as pytest takes it."""


def broken(what: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of one change."""
    return Mutant(what, file, ((old, new),), tests)


CORE = "tests/core"
LOST_IN_A_BOOT = "tests/properties/test_prefixes.py -k attributes"

MUTANTS = (
    broken(
        "a phase is forgotten: nobody looks after a quarantined instance",
        "core/claimed.py",
        "            return quarantined(instance, claim, registration, fleet, policy)\n",
        "            return Verdict()\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "the budget is off by one",
        "core/budget.py",
        "        if len(taken) < self.limit:\n",
        "        if len(taken) <= self.limit:\n",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "the budget of a zone is ignored",
        "core/budget.py",
        "        return self._total_refusal() or self.zone_refusal(zone)\n",
        "        return self._total_refusal()\n",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "a percentage is rounded up",
        "core/policy.py",
        "max(1, total * self.percent // 100)",
        "max(1, -(-total * self.percent // 100))",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "only what we took out of service ourselves counts against the budget",
        "core/budget.py",
        "    return registration.status is Status.DRAINING or not registration.connected\n",
        "    return False\n",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "a place is free again before the cluster has settled",
        "core/budget.py",
        "    taken = tuple((down | settling).items())\n",
        "    taken = tuple(down.items())\n",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "nobody waits for the cluster to settle",
        "core/settling.py",
        "    return slot.steady_since is not None and at - slot.steady_since >= policy.settle\n",
        "    return True\n",
        f"{CORE}/test_settling.py",
    ),
    broken(
        "an instance is drained before it is marked",
        "core/taking.py",
        "Verdict((mark, Drain(pick.id)), look_at=look_at)",
        "Verdict((Drain(pick.id), mark), look_at=look_at)",
        f"{CORE}/test_decide.py",
    ),
    broken(
        "the claim is written on the instance alone, and not in the store",
        "engine/claiming.py",
        "                self._ledger.change(partial(with_claim, instance=id_, claim=claim, arn=arn))\n",
        "",
        LOST_IN_A_BOOT,
    ),
    broken(
        "the store's copies of claims are never read",
        "engine/beginning.py",
        "        known.learn(replace(known.instance(id_), claim=record.claim))\n",
        "        pass\n",
        LOST_IN_A_BOOT,
    ),
    broken(
        "an instance is rebooted before it is empty",
        "core/rebooting.py",
        "    empty = not (registration.running_tasks or registration.pending_tasks or instance.tasks.left)\n",
        "    empty = True\n",
        f"{CORE}/test_rebooting.py",
    ),
    Mutant(
        "an instance is rebooted without another look whether it is still DRAINING",
        "core/rebooting.py",
        (
            (
                "    if registration.status is Status.ACTIVE:\n        drained_at",
                "    if not fleet.run:\n        drained_at",
            ),
            (
                "    if not empty or registration.status is not Status.DRAINING or not registration.connected:\n",
                "    if not empty or not registration.connected:\n",
            ),
        ),
        (f"{CORE}/test_rebooting.py",),
    ),
    broken(
        "a reboot command that succeeded is taken for a reboot",
        "core/rebooting.py",
        "    if report is not None and report.boot != claim.boot:\n        return verify",
        "    told_so = instance.rebooted is not None and instance.rebooted.end is End.SUCCESS\n"
        "    if report is not None and (report.boot != claim.boot or told_so):\n        return verify",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "the version is verified, and the boot id is not",
        "core/rebooting.py",
        "    if report is not None and report.boot != claim.boot:\n        return verify",
        "    if report is not None and report.running != claim.source:\n        return verify",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "the boot id is verified, and the version is not",
        "core/verifying.py",
        "    if report.running == claim.target:\n",
        "    if report.boot != claim.boot:\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "an instance is returned before its reboot is proven",
        "core/rebooting.py",
        "    return _await_boot(instance, claim, registration, report, fleet, policy)\n",
        "    return give_back(instance, claim, never_rebooted(instance, policy), fleet)\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "one look at the agent is enough",
        "core/verifying.py",
        "    if instance.trail.connected_looks < CONNECTED_LOOKS or not registration.connected:\n",
        "    if not registration.connected:\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "a reboot command that never ended is not called back, and may run again",
        "core/verifying.py",
        "    if unended is not None:\n",
        "    if unended is None:\n        pass\n    elif not instance.id:\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "an instance that did not come back is given back to its services",
        "core/rebooting.py",
        "    return quarantine(instance, claim, registration, why, fleet, told_of_release=not denied)\n",
        "    return give_back(instance, claim, why, fleet)\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "the claim is dropped before ECS shows ACTIVE",
        "core/claimed.py",
        "    return instance.trail.return_sent_at is not None and registration.status is Status.ACTIVE\n",
        "    return instance.trail.return_sent_at is not None\n",
        f"{CORE}/test_claimed.py",
    ),
    broken(
        "a look that is behind is taken for somebody who returned the instance",
        "core/claimed.py",
        "    if trail.drain_sent_at is not None and not passed(trail.drain_sent_at, lag, registration.at):\n",
        "    if trail.drain_sent_at is not None and not trail.drain_seen:\n",
        f"{CORE}/test_claimed.py",
        "tests/properties/test_known_seeds.py",
    ),
    broken(
        "an instance that somebody else drained in the last moment is gone on with, and returned",
        "core/claimed.py",
        "    if marked_by_this_run and trail.drain_sent_at is None:\n",
        "    if marked_by_this_run and trail.drain_sent_at is None and trail.claim_absent_looks:\n",
        f"{CORE}/test_claimed.py",
    ),
    broken(
        "nobody counts how often a reboot was asked for",
        "core/claimed.py",
        "reboots=claim.reboots + 1)\n",
        "reboots=claim.reboots)\n",
        f"{CORE}/test_claimed.py",
        CORE,
    ),
    broken(
        "a drain has no limit",
        "core/claimed.py",
        "    over = fleet.at >= stands.until\n",
        "    over = fleet.at > fleet.at\n",
        f"{CORE}/test_claimed.py",
    ),
    broken(
        "a rest is forgotten at the end of the run",
        "engine/beginning.py",
        "    known.rests = state.rests\n",
        "",
        "tests/engine",
        "tests/faults/test_reboots.py",
    ),
    broken(
        "a release that failed on other instances is taken by the next one all the same",
        "core/candidate.py",
        "    if count >= max(SUSPECT_AFTER, policy.max_failures):\n",
        "    if count > max(SUSPECT_AFTER, policy.max_failures) + count:\n",
        f"{CORE}/test_candidate.py",
    ),
    broken(
        "a release that the operator denies is staged and booted",
        "core/candidate.py",
        "        *answers_before_staging(instance, report, target, fleet, policy),\n",
        "",
        f"{CORE}/test_candidate.py",
    ),
    broken(
        "what is staged by the time of the reboot is booted, whatever was admitted",
        "core/restoring.py",
        "    if report.staged != claim.target:\n",
        "    if report.staged is None:\n",
        f"{CORE}/test_claimed.py",
    ),
    broken(
        "a standalone task holds nobody",
        "core/candidate.py",
        '        Answer("tasks", tasks_hold(instance, fleet, policy)),\n',
        "",
        f"{CORE}/test_candidate.py",
    ),
    broken(
        "a check is sent while an apply may run",
        "core/candidate.py",
        "    if instance.flight is not None:\n        return Waiting",
        "    if instance.flight is not None and instance.flight.kind is Kind.CHECK:\n        return Waiting",
        f"{CORE}/test_candidate.py",
    ),
    broken(
        "applies of a dead run are not searched for",
        "engine/beginning.py",
        "        if id_ in known.instances:\n",
        "        if id_ in known.arns:\n",
        "tests/properties/test_prefixes.py -k download",
    ),
    broken(
        "failures halt no run",
        "core/halting.py",
        "    if not bad or len(bad) < policy.max_failures:\n",
        "    if not bad or len(bad) < policy.max_failures + len(bad):\n",
        f"{CORE}/test_halting.py",
    ),
    broken(
        "a quarantine that fills the budget halts no run",
        "core/halting.py",
        "    if not quarantined or len(quarantined) < limit:\n",
        "    if not quarantined or len(quarantined) <= limit:\n",
        f"{CORE}/test_halting.py",
    ),
    broken(
        "a run does not ask for its lease before it acts",
        "engine/lease.py",
        "        right.keep()\n        if acting:\n            right.check_before_act()\n",
        "        return\n",
        "tests/properties/test_suspended.py",
    ),
    broken(
        "a holder acts until the very end of its lease",
        "engine/lease.py",
        "        if self._age(held) >= self._term - self.margin:\n",
        "        if self._age(held) >= self._term:\n",
        "tests/engine/test_lease.py",
    ),
    broken(
        "a rival reckons by the holder's clock how old a lease is",
        "engine/lease.py",
        "        if now - watch.began < watch.term.total_seconds():\n",
        "        if note.since is None or self._clock.now() - note.since < watch.term:\n",
        "tests/engine/test_lease.py",
    ),
    broken(
        "a lease is taken whatever was written meanwhile",
        "engine/lease.py",
        "self._have(epoch, began, self._store.put(self._key, data, tag), from_whom)",
        "self._have(epoch, began, self._store.put(self._key, data, None), from_whom)",
        "tests/engine/test_lease.py",
    ),
    broken(
        "the ledger is written whoever wrote it meanwhile",
        "engine/ledger.py",
        "        self._tag = self._store.put(self.key, data, self._tag)\n",
        "        self._tag = self._store.put(self.key, data, None)\n",
        "tests/engine/test_ledger.py",
    ),
    broken(
        "the claim of a living run with another store is gone on with",
        "core/strangers.py",
        "    return abs(fleet.at - claim.since) < policy.longest_phase\n",
        "    return fleet.at < claim.since\n",
        f"{CORE}/test_strangers.py",
        "tests/properties/test_two_stacks.py",
    ),
    broken(
        "an act that may have taken effect is sent again at once",
        "aws/api.py",
        "            except Throttled:\n                if not self._clock",
        "            except (Throttled, Unreachable):\n                if not self._clock",
        "tests/aws/test_api.py",
    ),
    broken(
        "waits for AWS and for hosts shrink with the poll interval",
        "core/policy.py",
        "        return max(world, polls * self.poll_interval)\n",
        "        return polls * self.poll_interval\n",
        f"{CORE}/test_policy.py",
    ),
    broken(
        "a command that is denied for one instance is denied for all in its call",
        "aws/ssm.py",
        "    if denial.action != Operation.SEND_COMMAND.action:\n",
        "    if denial.action:\n",
        "tests/aws/test_ssm_hosts.py",
    ),
    broken(
        "a drained host whose reboot is denied stays out of service",
        "core/restoring.py",
        "    if instance.send_denied:\n",
        "    if instance.send_denied and instance.claim is None:\n",
        "tests/faults/test_around.py -k w5",
    ),
    broken(
        "hosts are drained one after the other for a reboot that is denied to each",
        "engine/knowledge.py",
        "DENIED_FOR_ALL = 2\n",
        "DENIED_FOR_ALL = 99\n",
        "tests/faults/test_denials.py",
    ),
    broken(
        "a release is blamed where nobody may ask what became of it",
        "core/rebooting.py",
        "fleet, told_of_release=not denied)\n",
        "fleet)\n",
        f"{CORE}/test_rebooting.py",
    ),
    broken(
        "what is cut off at the deadline of a call is taken for a whole reply",
        "aws/deadline.py",
        "        if call.over:\n",
        "        if call.over and False:\n",
        "tests/aws/test_transport.py",
    ),
    broken(
        "a reply that is no JSON is a list of nothing",
        "aws/whole.py",
        "        if ok:\n            raise",
        "        if ok and not body:\n            raise",
        "tests/aws/test_transport.py",
    ),
    broken(
        "what was held up before it was sent may have been sent",
        "aws/api.py",
        "            raise NeverSent(",
        "            raise Unreachable(",
        "tests/aws/test_ssm_hosts.py",
    ),
    broken(
        "a service that ECS does not describe is steady",
        "core/settling.py",
        "if service.unknown or _worse(service, slot, moving))",
        "if _worse(service, slot, moving))",
        f"{CORE}/test_settling.py",
    ),
    broken(
        "an instance without a zone is spared by all zones",
        "core/budget.py",
        "        zones = [zone] if zone else self.limit_per_zone\n",
        "        zones = [zone]\n",
        f"{CORE}/test_budget.py",
    ),
)
