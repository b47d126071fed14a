"""A pipeline set against a small model: what serves is whole, what is pinned is open, what is neither is closed.

Whatever is done to it, in whatever order: files edited, spoilt and put back, secrets changed, reloads and rollbacks
asked for, while others wait or are under way; components that fail at any step of being opened, or hang there until
they are let on; calls that come and go; and an end in peace, by an exception or by a cancellation, at any moment.

    VOICEPIPE_EXAMPLES=5000 pytest tests/pipelines/test_set_model.py --timeout 3600      # a longer look
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
import trio.testing
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import until
from recording import RecordedSet, pipeline

from voicepipe.errors import ComponentError, PipelineSetClosed, UnknownVersion
from voicepipe.pipelines import versions
from voicepipe.pipelines.outcome import Applied, Rejected, Retired, Unchanged
from voicepipe.pipelines.runtime import open_runtime

EXAMPLES = int(os.environ.get("VOICEPIPE_EXAMPLES", "100"))

ROLES = ("stt", "llm", "tts")
IDS = "abc"
NAMES = [f"{role} {component_id}" for role in ROLES for component_id in IDS]
KEPT = 3
"""Versions that are remembered here, so that some are forgotten."""
STEPS = 4
"""Awaits in a component's opening; it can fail, or hang, at each of them."""


@frozen
class Content:
    """What files say, with the environment."""

    ids: tuple[str, str, str] = ("a", "a", "a")
    prompt: str = ""
    secret: str = "one"
    """Of the llm."""

    @property
    def keys(self):
        """Its components, as the runtime tells them apart."""
        stt, llm, tts = self.ids
        return {("stt", stt), ("llm", llm, self.secret), ("tts", tts)}

    @property
    def names(self):
        return [f"{role} {component_id}" for role, component_id in zip(ROLES, self.ids, strict=True)]


def named(key):
    return f"{key[0]} {key[1]}"


@define
class Asked:
    """A request that was made and not answered yet."""

    to: int | None = None
    content: Content | None = None
    force: bool = False


@define
class Model:
    """What should be."""

    cap: int
    written: Content | None = field(factory=Content)
    """What the files say now; None: rubbish."""
    versions: list[Content] = field(factory=lambda: [Content()])
    open_versions: set[int] = field(factory=lambda: {1})
    pins: Counter[int] = field(factory=Counter)
    failing: set[str] = field(factory=set)
    read: Content | None = field(factory=Content)
    left: Content | None = None
    rolled_back_to: int | None = None

    @property
    def serving(self):
        return len(self.versions)

    @property
    def open(self):
        return set().union(*(self.versions[version - 1].keys for version in self.open_versions))

    @property
    def kept(self):
        latest = range(max(1, self.serving - KEPT + 1), self.serving + 1)
        return sorted({*latest, *self.open_versions})

    @property
    def at_the_cap(self):
        return len(self.open_versions) + 1 - (not self.pins[self.serving]) > self.cap

    def begin(self, asked):
        """What an attempt is to serve; None if it comes to nothing."""
        if asked.to is not None:
            return asked.content
        self.read = self.written
        return self.read

    def answer(self, asked, content):
        """How an attempt goes: the outcome's type, and its reason or what it holds to."""
        if content is None:
            return Rejected, "config"
        held = asked.to is None and self.rolled_back_to is not None and content == self.left and not asked.force
        if held:
            return Unchanged, self.rolled_back_to
        if content == self.versions[-1]:
            if asked.to is None:
                self.rolled_back_to = self.left = None
            return Unchanged, self.rolled_back_to
        return None

    def finish(self, asked, content):
        """The end of an attempt that opens something."""
        self.versions.append(content)
        self.open_versions.add(self.serving)
        self.rolled_back_to = asked.to
        self.left = self.read if asked.to is not None else None
        self.sort_out()
        return Applied, asked.to

    def fails(self, content):
        return bool({named(key) for key in content.keys - self.open} & self.failing)

    def sort_out(self):
        self.open_versions = {one for one in self.open_versions if self.pins[one] or one == self.serving}


class Failing:
    """A component's opening that fails at one of its awaits."""

    def __init__(self, at):
        self.at = at

    async def __call__(self):
        for step in range(STEPS):
            if step == self.at:
                raise ComponentError("refused")
            await trio.lowlevel.checkpoint()


class Hanging:
    """A component's opening that waits until it is let on, to be opened or to fail."""

    def __init__(self, name):
        self.name, self.fails = name, False
        self.reached, self.go_on = trio.Event(), trio.Event()

    async def __call__(self):
        self.reached.set()
        await self.go_on.wait()
        if self.fails:
            raise ComponentError("refused")


class Driver:
    """Does each step to a real set and to the model, and compares them."""

    def __init__(self, recorded, pipelines, nursery, cap):
        self.recorded, self.pipelines, self.nursery, self.model = recorded, pipelines, nursery, Model(cap)
        self.calls = []
        self.waiting: list[Asked] = []  # the first of them is under way
        self.under_way: Content | None = None
        self.hanging: Hanging | None = None
        self.expected = []
        self.waiters: list[trio.CancelScope] = []

    async def do(self, what, how):
        await getattr(self, what)(how)
        await trio.testing.wait_all_tasks_blocked()
        self.compare()

    # --- What the files and the adapters do ----------------------------------------------------------------------

    async def write(self, how):
        ids, prompt = how
        secret = self.recorded.environ["WORD"]
        self.model.written = Content(ids, prompt, secret)
        self.save()

    async def revert(self, number):
        """The files are what some version was built from; its secret is as it is now."""
        content = self.model.versions[number % len(self.model.versions)]
        await self.write((content.ids, content.prompt))

    async def spoil(self, _):
        self.model.written = None
        self.recorded.write(default=pipeline(typo=1))

    async def rotate(self, secret):
        self.recorded.environ["WORD"] = secret
        if self.model.written:
            self.model.written = Content(self.model.written.ids, self.model.written.prompt, secret)

    def save(self):
        content = self.model.written
        stt, llm, tts = content.ids
        llm = {"id": llm, "text": "${WORD}"}
        self.recorded.write(default=pipeline(stt, llm, tts, prompt=content.prompt))

    async def fail(self, how):
        name, at = how
        if self.hanging is None:
            self.model.failing.add(name)
            self.recorded.opening[name] = Failing(at)

    async def mend(self, name):
        if self.hanging is None:
            self.model.failing.discard(name)
            self.recorded.opening.pop(name, None)

    # --- Changes -------------------------------------------------------------------------------------------------

    async def reload(self, force):
        if self.hanging is None:
            asked = Asked(force=force)
            self.expect(asked)
            self.check(await self.pipelines.reload(force=force))
        else:
            if self.waiting[1:] and self.waiting[-1].to is None:
                self.waiting[-1].force |= force
            else:
                self.waiting.append(Asked(force=force))
            await self.ask(partial(self.pipelines.reload, force=force))

    async def change(self, how):
        await self.write(how)
        await self.reload(force=False)

    async def rollback(self, back):
        to = self.model.serving - back
        if to not in self.model.kept:
            with pytest.raises(UnknownVersion):
                await self.pipelines.rollback(to)
            return
        asked = Asked(to, self.model.versions[to - 1])
        if self.hanging is None:
            self.expect(asked)
            self.check(await self.pipelines.rollback(to))
        else:
            self.waiting.append(asked)
            await self.ask(partial(self.pipelines.rollback, to))

    async def ask(self, change):
        """Asks in a task of its own, which may be cancelled: nobody else notices."""
        scope = trio.CancelScope()
        self.waiters.append(scope)

        async def wait():
            with scope:
                try:
                    await change()
                except PipelineSetClosed:
                    assert self.pipelines._versions.closing

        self.nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()

    async def give_up(self, number):
        """One of those who wait does so no longer."""
        if self.waiters:
            self.waiters.pop(number % len(self.waiters)).cancel()

    async def hang(self, how):
        """A reload, of which a component hangs while it is opened, unless one does already: that goes on."""
        written, which, force = how
        model = self.model
        if self.hanging:
            await self.let_on(force)
            return
        await self.write(written)
        if model.at_the_cap:
            return
        asked = Asked(force=force)
        content = model.written
        new = sorted(content.keys - model.open)
        held = model.rolled_back_to is not None and content == model.left and not force
        if held or not new or model.fails(content):
            return
        name = named(new[which % len(new)])
        self.recorded.opening[name] = self.hanging = Hanging(name)
        self.waiting = [asked]
        self.under_way = model.begin(asked)
        await self.ask(partial(self.pipelines.reload, force=force))
        await until(self.hanging.reached.is_set)

    async def let_on(self, fails):
        """What hangs goes on, or fails; then everything that waits is done."""
        if self.hanging is None:
            return
        hanging, self.hanging = self.hanging, None
        waiting, self.waiting = self.waiting, []
        seen = len(self.outcomes)
        hanging.fails = fails
        del self.recorded.opening[hanging.name]
        first = waiting.pop(0)
        if fails:
            self.expected.append((Rejected, "open"))
        elif self.model.at_the_cap:  # a call has come meanwhile
            self.expected.append((Rejected, "limit"))
        else:
            self.expected.append(self.model.finish(first, self.under_way))
        hanging.go_on.set()
        for asked in waiting:
            self.expect(asked)
        await until(lambda: len(self.outcomes) - seen == 1 + len(waiting))
        for outcome in self.outcomes[seen:]:
            self.check(outcome)

    def expect(self, asked):
        model = self.model
        content = model.begin(asked)
        told = model.answer(asked, content)
        if told is None:
            if model.at_the_cap:
                told = Rejected, "limit"
            elif model.fails(content):
                told = Rejected, "open"
            else:
                told = model.finish(asked, content)
        self.expected.append(told)

    def check(self, outcome):
        kind, detail = self.expected.pop(0)
        told = outcome.reason if isinstance(outcome, Rejected) else outcome.rolled_back_to
        assert (type(outcome), told) == (kind, detail)

    @property
    def outcomes(self):
        return [event for event in self.recorded.events if not isinstance(event, Retired)]

    # --- Calls ---------------------------------------------------------------------------------------------------

    async def pin(self, _):
        stack = ExitStack()
        snapshot = stack.enter_context(self.pipelines.pin())
        self.calls.append((stack, snapshot))
        self.model.pins[snapshot.version] += 1

    async def unpin(self, number):
        if self.calls:
            stack, snapshot = self.calls.pop(number % len(self.calls))
            self.model.pins[snapshot.version] -= 1
            stack.close()
            self.model.sort_out()

    # --- What should be ------------------------------------------------------------------------------------------

    def compare(self):
        current, model = self.pipelines.current, self.model
        assert current.version == model.serving
        assert self.pipelines.live_versions == len(model.open_versions) <= model.cap
        for snapshot in (current, *(snapshot for _stack, snapshot in self.calls)):
            content = model.versions[snapshot.version - 1]
            active = snapshot.active
            opened = (*active.stt, *active.llm, *active.tts)
            assert tuple(one.settings.options.id for one in opened) == content.ids
            assert str(active.llm[0].settings.options.text) == content.secret
            assert active.settings.prompt == content.prompt
            assert all(one.component._component is not None for one in opened)
        should = Counter(map(named, model.open))
        if self.hanging is None:
            assert self.recorded.open == should
        else:  # beside it, what the version that is being prepared has opened so far
            assert self.recorded.open >= should
            coming = Counter(map(named, model.open | self.under_way.keys))
            assert self.recorded.open <= coming - Counter([self.hanging.name])
        history = self.pipelines.history
        assert {one.version: one.calls for one in history if one.calls} == dict(+model.pins)
        assert [one.version for one in history] == model.kept
        assert {one.version for one in history if one.state != "retired"} == model.open_versions
        assert [one.version for one in history if one.state == "serving"] == [model.serving]
        retired = [event.version for event in self.recorded.events if isinstance(event, Retired)]
        assert sorted(retired) == sorted(set(range(1, model.serving + 1)) - model.open_versions)


contents = st.tuples(st.tuples(*[st.sampled_from(IDS)] * 3), st.sampled_from(["", "Be brief."]))
WEIGHTS = [
    (4, "change", contents),
    (3, "hang", st.tuples(contents, st.integers(0, 2), st.booleans())),
    (1, "let_on", st.booleans()),
    (3, "rollback", st.integers(-1, KEPT + 1)),
    (3, "reload", st.booleans()),
    (3, "pin", st.none()),
    (2, "unpin", st.integers(0, 9)),
    (1, "write", contents),
    (2, "revert", st.integers(0, 9)),
    (1, "spoil", st.none()),
    (1, "rotate", st.sampled_from(["one", "two"])),
    (1, "fail", st.tuples(st.sampled_from(NAMES), st.integers(0, STEPS - 1))),
    (1, "mend", st.sampled_from(NAMES)),
    (1, "give_up", st.integers(0, 9)),
]
steps = st.one_of(*(st.tuples(st.just(what), how) for weight, what, how in WEIGHTS for _ in range(weight)))


class MineError(Exception):
    """What the body of a set's `async with` raises."""


async def run(directory, sequence, cap, end):
    async with open_runtime() as runtime:
        await serve(directory, sequence, cap, end, runtime)


async def serve(directory, sequence, cap, end, runtime):
    recorded = RecordedSet(directory)
    recorded.environ["WORD"] = "one"
    recorded.write(default=pipeline(llm={"id": "a", "text": "${WORD}"}, prompt=""))
    calls = []
    with trio.CancelScope() as scope:
        try:
            async with (
                trio.open_nursery() as nursery,
                recorded.serve(max_live_versions=cap, runtime=runtime) as pipelines,
            ):
                driver = Driver(recorded, pipelines, nursery, cap)
                calls = driver.calls
                driver.compare()
                for what, how in sequence:
                    await driver.do(what, how)
                if end == "raise":
                    raise MineError  # noqa: TRY301 - as the body of a caller would
                if end == "cancel":
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                while driver.calls:
                    await driver.do("unpin", 0)
        except* MineError:
            assert end == "raise"
    assert scope.cancelled_caught == (end == "cancel")
    await trio.testing.wait_all_tasks_blocked()
    assert recorded.open == {}
    told = list(recorded.events)
    for stack, _snapshot in calls:  # calls that outlive it end in peace
        stack.close()
    assert recorded.events == told


@given(st.lists(steps, min_size=20, max_size=60), st.integers(1, 4), st.sampled_from(["peace", "raise", "cancel"]))
@settings(max_examples=EXAMPLES)
def test_whatever_is_done_in_whatever_order(sequence, cap, end):
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        patched.setattr(versions, "KEPT", KEPT)
        trio.run(run, Path(directory), sequence, cap, end)
