"""When a version is committed, and what an engine does next."""

from __future__ import annotations

import pytest

from reference_engine.fleet.agreement import (
    CatchUp,
    Commit,
    PrepareProposal,
    Wait,
    Withdraw,
    canary_engines,
    decide,
    fate_of,
    next_step,
    with_committed,
)
from reference_engine.fleet.documents import (
    EngineMember,
    EngineReport,
    EngineStatus,
    FleetVersion,
    Proposal,
    SetHead,
    SetStatus,
    decoded,
    encoded,
)
from reference_engine.fleet.etcd.messages import KeyValue, RangeResult, WatchBatch, WatchEvent
from reference_engine.fleet.keys import FleetKeys
from reference_engine.fleet.view import KeysView

KEYS = FleetKeys("prod")
OLD = FleetVersion(version=1, id="old", bundle="b1")
NEW = FleetVersion(version=2, id="new", bundle="b2")


def canary(*engines):
    """What is decided after `NEW` was committed for these engines."""
    return with_committed(SetHead(version=OLD), Proposal(version=NEW, engines=engines), NEW)


def view_of(reports, *, members=("a", "b", "c"), proposal=None):
    """A view at revision 50, with members at 1 and reports at 10, 11, ..."""
    proposal = Proposal(version=NEW) if proposal is None else proposal
    documents = {KEYS.proposal("main"): (proposal, 5), KEYS.head("main"): (SetHead(version=OLD), 3)}
    documents |= {KEYS.member(one): (EngineMember(engine=one, instance=one, sets=("main",)), 1) for one in members}
    for number, (engine, report) in enumerate(reports.items()):
        documents[KEYS.report("main", engine)] = (report, 10 + number)
    view = KeysView()
    kvs = (KeyValue(key, encoded(document), 1, at) for key, (document, at) in documents.items())
    view.read(RangeResult(50, tuple(kvs)))
    return view


def decision(reports, *, over=False, proposal=None, **options):
    proposal = Proposal(version=NEW) if proposal is None else proposal
    view = view_of(reports, proposal=proposal, **options)
    return decide(KEYS, "main", view, proposal, head_revision=3, over=over)


def ready(digest="d"):
    return EngineReport(id="new", state="ready", digest=digest)


def cannot(*problems):
    return EngineReport(id="new", state="cannot", problems=problems)


def test_it_is_committed_once_every_engine_that_is_up_is_ready():
    assert decision({}) == Wait(("a", "b", "c"))
    assert decision({"a": ready(), "b": EngineReport(id="new", state="preparing")}) == Wait(("b", "c"))
    commit = decision({"a": ready(), "b": ready(), "c": ready()})
    assert isinstance(commit, Commit)
    assert (commit.ready, commit.without) == (("a", "b", "c"), ())
    conditions = {(one.key, one.target, one.result, one.revision, one.prefix) for one in commit.conditions}
    assert conditions == {
        (KEYS.proposal("main"), "mod", "equal", 5, False),
        (KEYS.head("main"), "mod", "equal", 3, False),
        (KEYS.members, "mod", "less", 51, True),
        (KEYS.reports("main"), "mod", "less", 51, True),
    }


def test_a_report_on_another_proposal_counts_for_nothing():
    other = EngineReport(id="before", state="ready")
    assert decision({"a": ready(), "b": ready(), "c": other}) == Wait(("c",))


def test_one_that_can_not_is_enough_and_all_reasons_are_told():
    reports = {"a": ready(), "b": cannot("no model"), "c": cannot("no key", "no voice")}
    assert decision(reports) == Withdraw({"b": ("no model",), "c": ("no key", "no voice")})


def test_whoever_is_late_is_named():
    withdrawn = decision({"a": ready(), "b": ready()}, over=True)
    assert withdrawn == Withdraw({"c": ("has not become ready in time",)})


def test_engines_that_compute_other_digests_do_not_serve_one_version():
    withdrawn = decision({"a": ready("x"), "b": ready("x"), "c": ready("y")})
    assert isinstance(withdrawn, Withdraw)
    assert set(withdrawn.reasons) == {"a", "b", "c"}


@pytest.mark.parametrize(("at_least", "commits"), [(66, True), (67, False), (100, False), (0, True)])
def test_a_share_of_the_engines_may_be_enough(at_least, commits):
    proposal = Proposal(version=FleetVersion(version=2, id="new", bundle="b2", at_least=at_least))
    verdict = decision({"a": ready(), "b": ready(), "c": cannot("no model")}, proposal=proposal)
    assert isinstance(verdict, Commit) is commits
    if commits:
        assert verdict.without == ("c",)


def test_a_canary_asks_its_engines_only_and_they_must_be_up():
    proposal = Proposal(version=NEW, engines=("b",))
    assert isinstance(decision({"b": ready()}, proposal=proposal), Commit)
    missing = Proposal(version=NEW, engines=("b", "z"))
    assert decision({"b": ready()}, proposal=missing) == Withdraw({"z": ("is not up",)})


def test_a_fleet_without_engines_takes_it_for_those_that_join():
    assert isinstance(decision({}, members=()), Commit)


def test_a_proposal_that_has_expired_is_not_committed():
    view = KeysView()
    view.read(RangeResult(50))
    assert isinstance(decide(KEYS, "main", view, Proposal(version=NEW), head_revision=3, over=False), Withdraw)


@pytest.mark.parametrize(
    ("head", "proposal", "serves", "reported", "step"),
    [
        (None, None, None, None, None),
        (SetHead(version=OLD), None, "old", None, None),
        (SetHead(version=OLD), None, None, None, CatchUp(OLD)),
        (SetHead(version=OLD), Proposal(version=NEW), "old", None, PrepareProposal(Proposal(version=NEW))),
        (SetHead(version=OLD), Proposal(version=NEW), "old", "new", None),
        (SetHead(version=OLD), Proposal(version=NEW), None, "new", CatchUp(OLD)),
        (SetHead(version=OLD), Proposal(version=NEW, engines=("b",)), "old", None, None),
        (
            with_committed(SetHead(version=OLD), Proposal(version=NEW, engines=("a",)), NEW),
            None,
            "old",
            None,
            CatchUp(NEW),
        ),
        (with_committed(SetHead(version=OLD), Proposal(version=NEW, engines=("b",)), NEW), None, "old", None, None),
        (with_committed(None, Proposal(version=NEW, engines=("b",)), NEW), None, None, None, None),
    ],
)
def test_what_an_engine_does_next(head, proposal, serves, reported, step):
    assert next_step("a", head, proposal, serves=serves, reported=reported) == step


def test_the_fate_of_a_proposal():
    assert fate_of("new", "a", SetHead(version=OLD), Proposal(version=NEW)) == "open"
    assert fate_of("new", "a", SetHead(version=NEW), None) == "committed"
    assert fate_of("new", "a", SetHead(version=OLD), None) == "withdrawn"
    later = FleetVersion(version=3, id="later", bundle="b3")
    assert fate_of("new", "a", SetHead(version=later), None) == "withdrawn"


def test_a_canary_is_ten_percent_and_at_least_one():
    names = [f"e{number:02}" for number in range(30, 0, -1)]
    assert canary_engines(names, 10) == ("e01", "e02", "e03")
    assert canary_engines(["b", "a"], 1) == ("a",)


def test_a_view_passes_over_what_it_knows_already():
    view = view_of({})
    key = KEYS.head("main")
    old = WatchEvent(KeyValue(key, encoded(SetHead(version=OLD)), 3, 3))
    new = WatchEvent(KeyValue(key, encoded(SetHead(version=NEW)), 3, 51))
    assert not view.watched(WatchBatch(3, (old,)))
    assert view.watched(WatchBatch(51, (new,)))
    assert not view.watched(WatchBatch(51, (new,)))
    assert view.document(key, SetHead) == SetHead(version=NEW)
    view.read(RangeResult(50))  # an answer that was under way while the watch told more
    assert view.document(key, SetHead) == SetHead(version=NEW)
    assert view.watched(WatchBatch(60, (WatchEvent(KeyValue(key, mod_revision=60), deleted=True),)))
    assert view.get(key) is None


def test_documents_survive_and_what_is_none_is_passed_over():
    status = EngineStatus(engine="ä/b", calls=3, sets={"main": SetStatus(version=1, id="x", behind="é")})
    assert decoded(encoded(status), EngineStatus) == status
    head = SetHead(version=OLD)
    assert decoded(encoded(head), SetHead) == head
    assert decoded(b'{"version": null, "later": 1}', SetHead) == SetHead()
    for content in b"", b"[]", b"\xff", b'{"version": 5}', b'{"version": {"version": "x"}}':
        assert decoded(content, SetHead) is None


def test_names_of_engines_can_not_leave_their_keys():
    assert KEYS.member("a/../b") == f"{KEYS.members}a%2F..%2Fb"
