"""Time as the kit counts it: what the machine does besides is no fault of an adapter's."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import ears
import hum
import parrot
import pytest
import trio

from voicepipe.errors import ComponentError
from voicepipe.testing import conformance
from voicepipe.testing.conformance import waiting
from voicepipe.testing.conformance.subject import NO_FIRST_EVENT


class Late(parrot.Parrot):
    """Answers after so many seconds of the clock."""

    after_s = 0.0

    @asynccontextmanager
    async def respond(self, request):
        async with super().respond(request) as reply:
            await trio.sleep(self.after_s)
            yield reply


def kit(after_s, **limits):
    component = type("Late", (Late,), {"after_s": after_s})
    return conformance.language_model(
        parrot.adapter(component), parrot.ParrotOptions(), limits=conformance.Limits(**limits)
    )


@pytest.fixture
def busy(monkeypatch):
    """Has the machine keep this process waiting for a share of the time."""

    def share(of_all):
        def delayed_s(clock, passed):
            now = trio.current_time()
            before, clock.told_at = getattr(clock, "told_at", now), now
            return (now - before) * of_all

        monkeypatch.setattr(waiting.CheckClock, "_delayed_s", delayed_s)

    return share


@pytest.mark.parametrize(
    ("after_s", "waiting_for_a_processor", "passes"),
    [(9, 0.0, True), (11, 0.0, False), (19, 0.5, True), (21, 0.5, False), (90, 1.0, True), (110, 7.0, False)],
)
async def test_a_deadline_counts_the_time_that_the_machine_had_to_spare(
    autojump_clock, busy, after_s, waiting_for_a_processor, passes
):
    busy(waiting_for_a_processor)
    checked = kit(after_s, deadline_s=10)
    if passes:
        assert (await checked.check(["a_reply_ends_once"])).passed == ("a_reply_ends_once",)
    else:
        with pytest.raises(conformance.ConformanceError, match="a stream did not open within 10 s"):
            await checked.check(["a_reply_ends_once"])


@pytest.mark.parametrize(("of_all", "passes"), [(0.0, False), (0.9, True)])
async def test_so_does_what_a_stream_leaves_behind_for_a_while(autojump_clock, busy, of_all, passes):
    class LeavesATask(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            async with super().respond(request) as reply:
                yield reply
            self.nursery.start_soon(trio.sleep, 3)

    @asynccontextmanager
    async def served():
        async with trio.open_nursery() as LeavesATask.nursery:
            yield parrot.ParrotOptions()

    busy(of_all)
    limits = conformance.Limits(settle_s=1)
    checked = conformance.language_model(parrot.adapter(LeavesATask), served, limits=limits)
    if passes:
        await checked.check(["closing_leaves_nothing"])
    else:
        with pytest.raises(conformance.ConformanceError, match="1 task more than before"):
            await checked.check(["closing_leaves_nothing"])


async def test_time_in_which_the_loop_did_not_turn_counts_as_one_look(autojump_clock):
    with waiting.counting_time() as clock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            await trio.sleep(1)
            counted = clock.now()
            autojump_clock.jump(1.5)  # as a process does that is stopped and goes on
            with waiting.ended_after(0.5) as scope:
                await trio.sleep(0.3)
            assert not scope.cancelled_caught
            assert clock.now() - counted < 0.3 + 2 * waiting.LOOK_S
            nursery.cancel_scope.cancel()


async def test_a_stop_in_what_is_not_due_yet_makes_no_deadline_come(autojump_clock):
    with waiting.counting_time() as clock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            with waiting.ended_after(1) as scope:
                for _ in range(5):
                    await trio.sleep(0.05)
                    autojump_clock.jump(60)
            assert not scope.cancelled_caught
            with waiting.ended_after(1) as scope:
                await trio.sleep(60)
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("stops", "passes"), [(1, True), (2, True), (3, False)])
async def test_what_fails_while_the_process_stood_still_is_tried_again(autojump_clock, stops, passes):
    class HasDeadlines(parrot.Parrot):
        left = stops

        @asynccontextmanager
        async def respond(self, request):
            if HasDeadlines.left:
                HasDeadlines.left -= 1
                autojump_clock.jump(1.5)
                raise ComponentError("nothing came for 1 s")
            async with super().respond(request) as reply:
                yield reply

    checked = conformance.language_model(parrot.adapter(HasDeadlines), parrot.ParrotOptions())
    if passes:
        assert (await checked.check(["a_reply_ends_once"])).passed == ("a_reply_ends_once",)
    else:
        with pytest.raises(conformance.ConformanceError, match="nothing came for 1 s"):
            await checked.check(["a_reply_ends_once"])
    assert not HasDeadlines.left


async def test_what_fails_otherwise_is_not():
    tries = []

    class Fails(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            tries.append(request)
            raise ComponentError("it is down")
            yield

    checked = conformance.language_model(parrot.adapter(Fails), parrot.ParrotOptions())
    with pytest.raises(conformance.ConformanceError, match="it is down"):
        await checked.check(["a_reply_ends_once"])
    assert len(tries) == 1


async def test_what_was_heard_during_a_stop_is_no_measure_for_other_checks(autojump_clock):
    class Stopped(hum.Hum):
        opened = 0

        def open_stream(self, output, language):
            Stopped.opened += 1
            if Stopped.opened == 1:
                autojump_clock.jump(1.5)
            return super().open_stream(output, language)

    checked = conformance.text_to_speech(hum.adapter(Stopped), hum.HumOptions())
    await checked.check(["speech_is_audible", "speech_is_no_noise", "segments_come_in_order"])
    assert Stopped.opened == 2


async def test_time_in_which_a_child_process_is_stopped_hardly_counts(autojump_clock):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:  # noqa: ASYNC220 - at once
        try:
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)  # noqa: ASYNC222 - at once
            with waiting.counting_time() as clock:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(clock.run)
                    await trio.sleep(10)
                    assert clock.now() == pytest.approx(10 * waiting.AT_LEAST, abs=0.2)
                    nursery.cancel_scope.cancel()
        finally:
            child.kill()


async def test_the_system_tells_how_long_threads_were_kept_waiting():
    began = trio.current_time()
    clock = waiting.CheckClock()
    await trio.sleep(0.01)
    counted = clock.now()
    assert 0 < counted <= trio.current_time() - began
    assert clock.now() >= counted


async def test_a_first_event_that_does_not_come_is_no_matter_of_memory():
    class SaysNothing(hum.Humming):
        async def make(self):
            await trio.sleep_forever()

    adapter = hum.adapter(hum.with_stream(SaysNothing))
    checked = conformance.text_to_speech(adapter, hum.HumOptions(), limits=conformance.Limits(deadline_s=0.1))
    with pytest.raises(conformance.ConformanceError, match=r"receive\(\) did not return within 0\.1 s") as raised:
        await checked.check(["what_nobody_receives_is_bounded", "speech_comes_before_the_reply_is_complete"])
    memory, rule = sorted(raised.value.report.failed, key=lambda failure: failure.check, reverse=True)
    assert memory.means == NO_FIRST_EVENT
    assert rule.means.startswith("The first segment's audio comes before `finish()`")


async def test_what_only_the_collector_has_yet_to_take_is_not_held():
    class LeavesGarbage(ears.EarsStream):
        async def send(self, audio):
            self.bytes += len(audio)
            if self.bytes > 100 * len(audio):
                await super().send(audio)  # it is deaf from here on
            garbage = [bytearray(audio * 20)]
            garbage.append(garbage)
            await trio.lowlevel.checkpoint()

    options = ears.EarsOptions("deaf")
    checked = conformance.speech_to_text(
        ears.adapter(ears.with_stream(LeavesGarbage)),
        ears.EarsOptions(),
        faults={"deaf": options},
        limits=conformance.Limits(buffered_bytes=1 << 20),
    )
    gc.disable()
    try:
        await checked.check(["audio_that_is_not_taken_is_bounded"])
    finally:
        gc.enable()
