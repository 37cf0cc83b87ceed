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
        "    return registration.status is not Status.ACTIVE or not registration.connected\n",
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
        "                pass\n",
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
        "    why = failed(Failure.NOT_BACK, limit=spell(policy.reboot_timeout), detail=detail)\n"
        "    return quarantine(instance, claim, registration, why, fleet)\n",
        "    why = failed(Failure.NOT_BACK, limit=spell(policy.reboot_timeout), detail=detail)\n"
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
        "        if id_ in known.instances and known.instances[id_].flight is None:\n",
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
        "engine/right.py",
        "        right.keep()\n        if acting:\n            right.check_before_act()\n",
        "        return\n",
        "tests/properties/test_suspended.py",
    ),
    broken(
        "a holder acts until the very end of its lease",
        "engine/lease.py",
        "        return self._age(held.began) >= self._term - self.margin\n",
        "        return self._age(held.began) >= self._term\n",
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
        "self._have(epoch, began, self._store.put(self._key, data, tag), data, from_whom)",
        "self._have(epoch, began, self._store.put(self._key, data, None), data, from_whom)",
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
        "a refused renewal is believed without a look at whose the object is",
        "engine/lease.py",
        "stored.data not in (held.data, *self._sent)",
        "stored.data not in self._sent",
        "tests/engine/test_lease.py",
    ),
    broken(
        "a renewal that failed is tried again a third of the term later",
        "engine/lease.py",
        "            return self._spacing - self._age(held.failed)\n",
        "            return self._term * RENEW_AFTER_SHARE - self._age(held.failed)\n",
        "tests/engine/test_lease.py",
    ),
    broken(
        "after a time without the right to act, a run goes on with what it knew before",
        "engine/lease.py",
        "        held.lapsed = held.lapsed or _between(held.began, began) >= self._term - self.margin\n",
        "",
        "tests/engine/test_lease.py",
    ),
    broken(
        "a lease that lapsed ends the run",
        "engine/patience.py",
        "                if passed(began, self._policy.drain_timeout, self._clock.now()):\n",
        "                if True:\n",
        "tests/engine/test_store_outages.py",
    ),
    broken(
        "a write that S3 refuses with 409 is taken for somebody else's",
        "aws/errors.py",
        "    if code in _OVERLAPPED_CODES or (status == 409 and operation in _STORE_WRITES):\n",
        "    if code == 'none':\n",
        "tests/aws/test_s3_store.py",
    ),
    broken(
        "the ledger is written without the right to act",
        "engine/ledger.py",
        "        self._check()\n",
        "",
        "tests/engine/test_ledger.py",
    ),
    broken(
        "a claim that the store did not take is written later in its place",
        "engine/claiming.py",
        "            self._ledger.change(lambda _: before)\n",
        "",
        "tests/engine/test_store_outages.py",
    ),
    broken(
        "a run ends though the ledger still has a claim on what it returned",
        "engine/run.py",
        "            self._patience.insist(world.ledger.flush)\n",
        "",
        "tests/engine/test_store_outages.py",
    ),
    broken(
        "services are called unsteady for time in which nobody looked",
        "core/settling.py",
        "    return passed(slot.returned_at + slot.unseen, policy.settle_timeout, slot.looked_at or fleet.at)\n",
        "    return passed(slot.returned_at, policy.settle_timeout, fleet.at)\n",
        f"{CORE}/test_settling.py",
    ),
    broken(
        "an object that is nested without end ends whatever reads it",
        "engine/readjson.py",
        '    except RecursionError as error:\n        raise Unreadable("it is nested too deep") from error\n'
        "    except MISFITS as error:\n",
        "    except ValueError as error:\n",
        "tests/properties/test_readers.py",
    ),
    broken(
        "a ledger that nobody can read is written anew",
        "engine/ledger.py",
        "            self._broken = True\n            self._safe, self.beside",
        "            self._safe, self.beside",
        "tests/engine/test_ledger.py",
    ),
    broken(
        "a log that cannot be written ends the run",
        "engine/unfailing.py",
        "        except Exception:  # noqa: S110 - see above\n",
        "        except ZeroDivisionError:\n",
        "tests/engine/test_unfailing.py",
    ),
    broken(
        "one recorder that fails keeps an event from the others",
        "report/recorders.py",
        "            fault(recorder, event, error)\n",
        "            raise\n",
        "tests/report/test_recorders.py",
    ),
    broken(
        "what is raised by a signal can be taken for a fault of the network",
        "core/errors.py",
        "class Interrupted(BaseException):\n",
        "class Interrupted(Exception):\n",
        "tests/cli/test_signals.py",
    ),
    broken(
        "a run that is told to stop waits for what hangs after the first call",
        "cli/signals.py",
        "signal.setitimer(signal.ITIMER_REAL, CALL_GRACE_SECONDS, NEXT_GRACE_SECONDS)",
        "signal.setitimer(signal.ITIMER_REAL, CALL_GRACE_SECONDS)",
        "tests/cli/test_signals.py -k each_thing",
    ),
    broken(
        "runs that the index has no room for are looked for again and again",
        "report/index.py",
        '        return min(entry.run for entry in self.entries) if full else ""\n',
        '        return ""\n',
        "tests/report/test_index.py",
    ),
    broken(
        "the state of another cluster of the name is taken for our own",
        "engine/beginning.py",
        "    if theirs is not None:\n",
        "    if theirs == 0:\n",
        "tests/engine/test_old_state.py",
    ),
    broken(
        "claims of another cluster of the name are moved with our own",
        "engine/old_state.py",
        "    claims = {id_: one for id_, one in ledger.claims.items() if _may_be(one.arn, place)}\n",
        "    claims = dict(ledger.claims)\n",
        "tests/engine/test_old_state.py",
    ),
    broken(
        "older versions go on with the state that was moved",
        "engine/old_state.py",
        "            self._fence(self._old)\n",
        "",
        "tests/engine/test_old_state.py",
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
        "a drain stands on what a survey found before",
        "core/taking.py",
        "        or unsurveyed(pick, fleet, policy.poll_interval)\n",
        "",
        f"{CORE}/test_fresh_facts.py",
    ),
    broken(
        "a drain stands on what AWS said last where it does not say it now",
        "core/taking.py",
        "        unsaid = held_for_survey(instance, fleet, policy)\n",
        "        unsaid = None\n",
        f"{CORE}/test_fresh_facts.py",
    ),
    broken(
        "what ECS lists and does not describe takes no place",
        "core/budget.py",
        "        return instance.unknown\n",
        "        return False\n",
        f"{CORE}/test_budget.py",
    ),
    broken(
        "a release does what a person was told, whatever has changed meanwhile",
        "engine/release.py",
        "    if now.differs_from(said):\n",
        "    if not now:\n",
        "tests/engine/test_release.py",
    ),
    broken(
        "a release lets go of the claim on the registration that it chose alone",
        "engine/release.py",
        "frozenset(), tuple(written), drained_by_us)",
        "frozenset(), tuple(written)[-1:], drained_by_us)",
        "tests/engine/test_release.py",
    ),
    broken(
        "a run that is told to stop says that all is well, whatever it leaves out of service",
        "engine/run.py",
        'return "interrupted", 3 if left_out(self._known.fleet(), self._policy) else 0\n',
        'return "interrupted", 0\n',
        "tests/engine/test_interrupted.py",
    ),
    broken(
        "a quarantined instance takes two places at a checkpoint",
        "core/ruling.py",
        "    under_way = {id_ for id_, claim in claims if claim.phase is not ClaimPhase.QUARANTINED}\n",
        "    under_way = {id_ for id_, claim in claims}\n",
        f"{CORE}/policy/test_roll.py",
    ),
    broken(
        "a proven update leaves its instance among those on which the release failed",
        "core/ledger.py",
        "    ledger = without_failure(ledger, version, instance)\n    updated",
        "    updated",
        "tests/engine/test_ledger.py",
    ),
    broken(
        "a canary that is terminated has proven nothing",
        "core/ruling.py",
        "    done |= _done_and_gone(version, fleet, {instance.id for instance in there})\n",
        "",
        f"{CORE}/policy/test_roll.py",
    ),
    broken(
        "an instance that was marked and never drained was begun",
        "engine/claiming.py",
        "        if claim is None or claim.phase is not ClaimPhase.DRAINING or not instance.trail.drain_seen:\n",
        "        if claim is None or claim.phase is not ClaimPhase.DRAINING:\n",
        "tests/policy/test_counting_stories.py",
    ),
)
