"""Clusters of several accounts and Regions that share one bucket, with the policies from the documentation.

A call to a bucket in another account needs the caller's own policy, the bucket's policy, and that of its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from tests.account.iam import Decision, IamRequest, asks_of
from tests.account.iam.policy import Policy, decide
from tests.many.test_stack import deployed
from tests.stack.stage import WorldFacts, policy_of, properties
from tests.support.many import NEW, Cluster, held, reasons, updated
from tests.support.simulated import OLD, EngineClock, row

from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.promotion import CLUSTER_CLOCKS_APART, Requirement, StageRules
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.store.shared_state import (
    ACTS_KEY,
    change_acts,
    forget_standing,
    read_standing,
    standing_key,
    with_block,
    with_forgotten,
)
from bottlerocket_ecs_updater.errors import Denied, UpdaterError
from bottlerocket_ecs_updater.report.outputs.fleet_page import PAGE_KEY, refresh_fleet_page
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "many-clusters.md").read_text(encoding="utf-8")
BUCKET, ORGANIZATION = "updates", "o-exampleorgid"
OWNER = Names(account="999988887777")
STAGING, PRODUCTION = Names(account="111122223333"), Names(account="222233334444", region="eu-west-1")
KEY = f"arn:aws:kms:us-east-1:{OWNER.account}:key/1"
DAY = timedelta(days=1)
TARGET = Version.parse(NEW)


def of_page(what: str) -> dict[str, Any]:
    """A policy from the documentation."""
    [text] = re.findall(rf"<!-- {what} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    return cast("dict[str, Any]", json.loads(text))


BUCKET_POLICY = of_page("bucket policy")
KEY_POLICY = {"Version": "2012-10-17", "Statement": [of_page("key policy")]}
SIDS = [one["Sid"] for one in BUCKET_POLICY["Statement"] if one["Effect"] == "Allow"]


@dataclass(frozen=True)
class Caller:
    """A role of an account."""

    account: str
    arn: str
    policy: Policy


@cache
def updater_of(names: Names, stack_name: str = "bottlerocket-updates") -> Caller:
    """The task's role of a stack that shares the bucket."""
    stack = deployed(names, StateBucketName=BUCKET, StateKmsKeyArn=KEY)
    path = properties(stack, "TaskRole")["Path"].replace("/fleet/", f"/{stack_name}/")
    return Caller(names.account, f"arn:aws:iam::{names.account}:role{path}TaskRole", policy_of(stack, "TaskRole"))


@dataclass
class SharedBucket:
    """One bucket with a key, in its own account, and the denied calls."""

    bank: World = field(default_factory=lambda: row(1, names=OWNER))
    callers: dict[str, Caller] = field(default_factory=dict)
    without: str = ""
    """A statement of the bucket's policy to leave out."""
    keyless: bool = False
    """Whether to leave out the key's policy."""
    organization: str = ORGANIZATION
    refused: list[IamRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bank.authorize = self.authorize
        InProcessClients(self.bank, "owner").s3.create_bucket(Bucket=BUCKET)

    def store(self, caller: Caller) -> S3Store:
        """The store, with that role's permissions."""
        self.callers[caller.arn] = caller
        clock = EngineClock(self.bank)
        api = Api(clock, CallPace(clock), Calls())
        return S3Store(cast("Any", Pair.of(InProcessClients(self.bank, caller.arn).s3)), api, BUCKET, "updater")

    def authorize(self, call: Call) -> None:
        caller = self.callers.get(call.caller)
        if caller is None:
            return
        for asked in asks_of(call.service, call.operation, call.params, WorldFacts(self.bank, KEY)):
            ask = replace(asked, context={**asked.context, **self._said(caller)})
            kinds = [caller.policy] if caller.account == OWNER.account else [caller.policy, self._owners(ask)]
            if any(decide(ask, (policy,)) is not Decision.ALLOWED for policy in kinds):
                self.refused.append(ask)
                raise AwsError("AccessDenied", f"not authorized to perform: {ask.action} on {ask.resource}", 403)

    def _said(self, caller: Caller) -> Mapping[str, tuple[str, ...]]:
        return {
            "aws:principalaccount": (caller.account,),
            "aws:principalorgid": (self.organization,),
            "aws:principalarn": (caller.arn,),
            "aws:securetransport": ("true",),
        }

    def _owners(self, ask: IamRequest) -> Policy:
        if ask.action.startswith("kms:"):
            return Policy.read({"Version": "2012-10-17", "Statement": []} if self.keyless else KEY_POLICY)
        kept = [one for one in BUCKET_POLICY["Statement"] if one["Sid"] != self.without]
        return Policy.read({**BUCKET_POLICY, "Statement": kept})


def cluster(shared: SharedBucket, names: Names, name: str, stages: StageRules, **world: Any) -> Cluster:
    place = Location(names.account, names.region, name)
    return Cluster(place, row(2, budget=1, names=names, **world), shared.store(updater_of(names)), Rules(stages=stages))


def both(shared: SharedBucket) -> tuple[Cluster, Cluster]:
    production = StageRules("production", (Requirement.parse("staging for 1d"),))
    return (
        cluster(shared, STAGING, "canary", StageRules("staging")),
        cluster(shared, PRODUCTION, "shop", production),
    )


def wait(span: timedelta, *clusters: Cluster) -> None:
    latest = max(one.world.clock.now() for one in clusters) + span
    for one in clusters:
        one.world.clock.sleep(latest - one.world.clock.now())


def write_page(one: Cluster) -> None:
    """What a run does at its end, with the standing that it has just published."""
    stored = one.store.get(standing_key(one.place))
    own = read_standing(stored.data, one.place) if stored is not None else None
    refresh_fleet_page(one.store, one.world.clock.now(), own)


def test_a_version_is_promoted_from_one_account_to_another_without_a_denied_call() -> None:
    shared = SharedBucket()
    canary, shop = both(shared)
    assert updated(canary.run()) == 2
    write_page(canary)
    assert "111122223333/us-east-1/canary has been healthy on it only since" in held(shop.run())
    wait(DAY + CLUSTER_CLOCKS_APART, canary, shop)
    assert updated(shop.run()) == 2
    write_page(shop)
    page = shop.store.get(PAGE_KEY)
    assert page is not None
    assert b"<b>canary</b>" in page.data
    assert shared.refused == []


def use(shared: SharedBucket) -> None:
    """Everything that runs of two accounts do with the bucket, up to the first denial of each."""
    canary, shop = both(shared)
    for one in (canary, shop):
        one.run()
        try:
            write_page(one)
        except UpdaterError:
            assert shared.refused


@pytest.mark.parametrize("sid", SIDS)
def test_without_a_statement_of_the_bucket_s_policy_something_is_refused(sid: str) -> None:
    assert {"OwnState", "ReadShared", "ShareSightings", "WritePage", "ListState"} == set(SIDS)
    shared = SharedBucket(without=sid)
    use(shared)
    actions = next(one["Action"] for one in BUCKET_POLICY["Statement"] if one["Sid"] == sid)
    assert {ask.action for ask in shared.refused} & set([actions] if isinstance(actions, str) else actions)


def test_without_the_key_s_policy_the_state_cannot_be_written() -> None:
    shared = SharedBucket(keyless=True)
    use(shared)
    assert {ask.action for ask in shared.refused} <= {"kms:GenerateDataKey", "kms:Decrypt"}
    assert shared.refused


@pytest.mark.parametrize("who", ["another organization", "another role"])
def test_others_are_kept_out(who: str) -> None:
    shared = SharedBucket(organization=ORGANIZATION if who == "another role" else "o-other")
    known = updater_of(PRODUCTION)
    caller = replace(known, arn=f"arn:aws:iam::{known.account}:role/web/app") if who == "another role" else known
    with pytest.raises(Denied):
        shared.store(caller).get(ACTS_KEY)


def test_a_stack_of_a_stack_set_is_let_in() -> None:
    shared = SharedBucket()
    assert shared.store(updater_of(PRODUCTION, "StackSet-bottlerocket-updates-0a1b2c")).get(ACTS_KEY) is None


def test_an_account_reaches_nothing_of_another_but_what_is_for_all() -> None:
    shared = SharedBucket()
    canary, shop = both(shared)
    canary.run()
    theirs, store = str(canary.place), shop.store
    assert store.get(standing_key(canary.place)) is not None
    for key in (standing_key(canary.place), ACTS_KEY, f"clusters/{theirs}/lease.json", f"runs/{theirs}/index.html"):
        with pytest.raises(Denied):
            store.put(key, b"{}", None)
    with pytest.raises(Denied):
        store.get(f"clusters/{theirs}/ledger.json")
    with pytest.raises(Denied):
        store.put(f"first-seen/{TARGET}.json", b"{}", None)


def test_those_who_decide_about_versions_can_write_that_and_no_more() -> None:
    shared = SharedBucket()
    canary, shop = both(shared)
    document = of_page("policy of people")
    kms = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": KEY}
    policy = Policy.read({**document, "Statement": [*document["Statement"], kms]})
    ann = shared.store(Caller(OWNER.account, f"arn:aws:iam::{OWNER.account}:role/sre", policy))
    change_acts(ann, lambda acts: with_block(acts, TARGET, Act("ann", shared.bank.clock.now(), "breaks")))
    for one in (canary, shop):
        assert reasons(one.run()) == {"blocked"}
        assert one.versions == {OLD}
    for key in (standing_key(canary.place), f"clusters/{canary.place}/lease.json", f"first-seen/{TARGET}.json"):
        with pytest.raises(Denied):
            ann.put(key, b"{}", None)


def forget_as_a_person(without: str = "") -> SharedBucket:
    """A person removes a cluster, with the policy of people but one statement."""
    shared = SharedBucket()
    canary, shop = both(shared)
    for one in (canary, shop):
        one.run()
        write_page(one)
    assert shared.refused == []
    document = of_page("policy of people")
    kms = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": KEY}
    kept = [one for one in document["Statement"] if one["Sid"] != without]
    ann = shared.store(
        Caller(
            OWNER.account,
            f"arn:aws:iam::{OWNER.account}:role/sre",
            Policy.read({**document, "Statement": [*kept, kms]}),
        )
    )
    now = canary.world.clock.now()
    with suppress(Denied):
        change_acts(ann, lambda acts: with_forgotten(acts, canary.place, Act("ann", now)))
        assert forget_standing(ann, canary.place)
        refresh_fleet_page(ann, now)
    return shared


def test_those_who_decide_about_versions_can_forget_a_cluster() -> None:
    shared = forget_as_a_person()
    assert shared.refused == []
    page = shared.store(updater_of(PRODUCTION)).get(PAGE_KEY)
    assert page is not None
    assert b"<b>canary</b>" not in page.data


@pytest.mark.parametrize("sid", [one["Sid"] for one in of_page("policy of people")["Statement"]])
def test_every_statement_of_people_is_needed(sid: str) -> None:
    assert forget_as_a_person(without=sid).refused
