"""The kit itself: what it is told, what it tells, and how it chooses."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager

import ears
import hum
import parrot
import pytest
import trio
from attrs import frozen

from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError
from voicepipe.testing import check_language_model, check_speech_to_text, check_text_to_speech, conformance
from voicepipe.testing.conformance.cancelling import chosen, counting_steps

QUICK = conformance.Limits(streams=10, cancels=10, idle_s=0.05)


@frozen
class SlipOptions:
    """Options of an adapter that stands in this file."""


FEW = ["a_reply_ends_once", "an_empty_reply_says_so", "other_faults_are_noticed"]


async def test_the_three_functions_run_everything():
    for check, adapter, options in (
        (check_speech_to_text, ears.adapter(), ears.EarsOptions()),
        (check_language_model, parrot.adapter(), parrot.ParrotOptions()),
        (check_text_to_speech, hum.adapter(), hum.HumOptions()),
    ):
        report = await check(adapter, options, limits=QUICK)
        assert report.subject == f"{adapter.role} adapter {adapter.name!r}"
        assert "cancelled_anywhere_it_leaves_nothing" in report.passed
        assert [name for name, _ in report.skipped if name == "other_faults_are_noticed"]


async def test_one_report_has_all_failures_and_what_to_do():
    adapter = parrot.adapter(parrot.with_reply(parrot.IsNeverDone))
    with pytest.raises(conformance.ConformanceError) as raised:
        await conformance.language_model(adapter, parrot.ParrotOptions()).check(FEW)
    report = raised.value.report
    assert [failure.check for failure in report.failed] == ["a_reply_ends_once"]
    assert report.passed == ("an_empty_reply_says_so",)
    said = str(raised.value)
    assert said.startswith("llm adapter 'parrot': 1 passed, 1 skipped, 1 failed\n")
    assert "a_reply_ends_once: a reply has 0 ReplyDone\n    `ReplyDone` is the last event" in said
    assert "skipped other_faults_are_noticed: hand in faults={kind: options} for" in said


async def test_options_may_need_something_that_runs():
    running = []

    @asynccontextmanager
    async def served():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            running.append(True)
            yield parrot.ParrotOptions()
            running.append(False)
            nursery.cancel_scope.cancel()

    report = await conformance.language_model(parrot.adapter(), served).check(FEW)
    assert report.passed == ("a_reply_ends_once", "an_empty_reply_says_so")
    assert running == [True, False, True, False]


async def test_a_component_that_does_not_open_fails_every_check_with_its_own_words():
    with pytest.raises(conformance.ConformanceError) as raised:
        await conformance.text_to_speech(hum.adapter(), hum.HumOptions("broken")).check(["speech_is_audible"])
    assert "speech_is_audible: it failed: ComponentError: hum: no such voice (there are: low, high)" in str(
        raised.value
    )


async def test_one_that_never_opens_fails_at_the_deadline():
    @asynccontextmanager
    async def opening(_options, _resources):
        await trio.sleep_forever()
        yield

    adapter = Adapter(name="slow", role="llm", options=parrot.ParrotOptions, open=opening)
    kit = conformance.language_model(adapter, parrot.ParrotOptions(), limits=conformance.Limits(deadline_s=0.1))
    with pytest.raises(conformance.ConformanceError, match=r"the component did not open within 0\.1 s"):
        await kit.check(["a_reply_ends_once"])


@pytest.mark.parametrize("shielded_s", [30, math.inf])
async def test_one_that_takes_long_to_leave_fails(autojump_clock, shielded_s):
    class Slow(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            async with super().respond(request) as reply:
                yield reply
            with trio.CancelScope(shield=True):
                await trio.sleep(shielded_s)

    kit = conformance.language_model(parrot.adapter(Slow), parrot.ParrotOptions())
    with pytest.raises(conformance.ConformanceError, match=r"leaving a stream took 1\d\.\d s, or had no end"):
        await kit.check(["a_reply_ends_once"])


async def test_one_that_never_opens_whatever_is_cancelled_fails(autojump_clock):
    class Stubborn(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()
            yield

    kit = conformance.language_model(parrot.adapter(Stubborn), parrot.ParrotOptions())
    with pytest.raises(conformance.ConformanceError, match="a stream did not open within 10 s"):
        await kit.check(["a_reply_ends_once"])


@pytest.mark.parametrize("options", [parrot.MutableOptions, dict])
async def test_options_that_can_change_are_no_options(options):
    adapter = parrot.adapter(options=options)
    with pytest.raises(conformance.ConformanceError, match="is no frozen attrs class"):
        await conformance.language_model(adapter, options()).check(["the_adapter_is_what_it_says"])


async def test_words_are_checked_if_there_are_some():
    loud = (AudioFormat(8000), b"\0\x20" * 2400)  # 300 ms
    kit = conformance.speech_to_text(ears.adapter(), ears.EarsOptions(), speech=loud, words="Buzz, buzz buzz!")
    assert (await kit.check(["the_words_are_heard"])).passed == ("the_words_are_heard",)
    kit = conformance.speech_to_text(ears.adapter(), ears.EarsOptions(), speech=loud, words="Hello?")
    with pytest.raises(conformance.ConformanceError, match=r"heard 'buzz buzz buzz buzz buzz buzz', said was twice"):
        await kit.check(["the_words_are_heard"])


async def test_audio_that_is_hoarded_is_found_even_if_the_service_seems_to_take_it():
    adapter = ears.adapter(ears.with_stream(ears.TakesAllAudioAtOnce))
    with pytest.raises(conformance.ConformanceError, match=r"the stream holds \d+ KiB that nobody has taken"):
        await conformance.speech_to_text(adapter, ears.EarsOptions()).check(["audio_that_is_not_taken_is_bounded"])


async def test_a_reply_that_is_never_the_same_is_not_compared():
    class Moody(parrot.Reply):
        asked = 0

        def all(self):
            Moody.asked += 1
            yield from ()
            yield parrot.TextDelta(f"Reply {self.asked}.")
            yield parrot.ReplyDone()

    kit = conformance.language_model(parrot.adapter(parrot.with_reply(Moody)), parrot.ParrotOptions())
    report = await kit.check(["streams_do_not_mix"])
    ((name, reason),) = report.skipped
    assert (name, reason.partition(",")[0]) == ("streams_do_not_mix", "the same use gave something else each time")


async def test_a_keyboard_interrupt_is_no_verdict():
    class Interrupted(parrot.Parrot):
        def respond(self, request):
            raise KeyboardInterrupt

    kit = conformance.language_model(parrot.adapter(Interrupted), parrot.ParrotOptions())
    with pytest.raises(KeyboardInterrupt):
        await kit.check(["a_reply_ends_once"])


async def test_a_check_that_is_cancelled_is_no_verdict(autojump_clock):
    class Endless(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            await trio.sleep_forever()
            yield

    with trio.move_on_after(1) as scope:
        await conformance.language_model(parrot.adapter(Endless), parrot.ParrotOptions()).check()
    assert scope.cancelled_caught


def test_faults_have_names():
    def faults(**options):
        kit = conformance.language_model(parrot.adapter(), parrot.ParrotOptions(), faults=options)
        return [check.name for check in kit.checks]

    two = {"stall: before the head": parrot.ParrotOptions("stall"), "stall: later": parrot.ParrotOptions("stall")}
    names = faults(**two)
    assert "a_stall_is_noticed[before the head]" in names
    assert "a_stall_is_noticed[later]" in names
    assert names[-1] == "other_faults_are_noticed", "skipped, with the kinds that were not handed in"
    with pytest.raises(ValueError, match="'earthquake' is no fault that the kit knows; it knows broken, refuse"):
        faults(earthquake=parrot.ParrotOptions())


def test_what_can_t_go_wrong_is_none():
    def names(**faults):
        kit = conformance.language_model(parrot.adapter(), parrot.ParrotOptions(), faults=faults)
        return {check.name for check in kit.checks}

    options = parrot.ParrotOptions("empty")
    everything = names(**dict.fromkeys(conformance.FAULTS) | {"empty": options})
    assert "an_empty_success_is_noticed" in everything
    assert everything.isdisjoint({"other_faults_are_noticed", "a_wrong_key_is_told", "a_stall_is_noticed"})
    assert "other_faults_are_noticed" in names(unauthorised=None)


async def test_a_probe_has_nothing_to_notice_where_nothing_can_be_away():
    def kit(**faults):
        return conformance.language_model(parrot.adapter(), parrot.ParrotOptions(), faults=faults)

    check = ["a_probe_tells_the_truth"]
    assert (await kit(refuse=None).check(check)).passed == tuple(check)
    ((name, reason),) = (await kit().check(check)).skipped
    assert (name, "refuse and unauthorised" in reason) == (*check, True)
    assert (await conformance.text_to_speech(hum.adapter(), hum.HumOptions()).check(check)).passed == tuple(check)


async def test_a_deaf_service_may_be_noticed_by_any_task_of_the_stream():
    async def takes_nothing(audio):
        await trio.sleep_forever()

    class NoticesItself(ears.Ears):
        @asynccontextmanager
        async def open_stream(self, stream_input, listen):
            async with trio.open_nursery() as nursery:

                async def notice():
                    with trio.move_on_after(0.02):
                        await trio.sleep_forever()
                    raise ComponentError("nothing came for 0.02 s")

                nursery.start_soon(notice)
                stream = ears.EarsStream(self, stream_input.format)
                stream.send = takes_nothing
                yield stream
                nursery.cancel_scope.cancel()

    kit = conformance.speech_to_text(
        ears.adapter(NoticesItself), ears.EarsOptions(), faults={"deaf": ears.EarsOptions("deaf")}
    )
    check = ["audio_that_is_not_taken_is_bounded"]
    assert (await kit.check(check)).passed == tuple(check)


def test_what_does_not_fit_is_refused_at_once():
    with pytest.raises(ValueError, match="'hum' is an adapter for tts, not for stt"):
        conformance.speech_to_text(hum.adapter(), hum.HumOptions())
    with pytest.raises(ValueError, match="speech and its words go together"):
        conformance.speech_to_text(ears.adapter(), ears.EarsOptions(), words="hello")


def test_it_can_be_called_without_trio():
    conformance.language_model(parrot.adapter(), parrot.ParrotOptions(), limits=QUICK)()


def test_check_names_are_unique_and_each_says_what_it_means():
    for kit in (
        conformance.speech_to_text(ears.adapter(), ears.EarsOptions()),
        conformance.language_model(parrot.adapter(), parrot.ParrotOptions()),
        conformance.text_to_speech(hum.adapter(), hum.HumOptions()),
    ):
        names = [check.name for check in kit.checks]
        assert len(names) == len(set(names))
        assert all(check.means for check in kit.checks)


@pytest.mark.parametrize(
    ("steps", "most", "expected"),
    [(0, 5, []), (3, 5, [1, 2, 3]), (9, 3, [1, 5, 9]), (1000, 2, [1, 1000]), (7, 1, [1])],
)
def test_checkpoints_are_chosen_evenly(steps, most, expected):
    assert chosen(steps, most) == expected


async def test_steps_of_a_task_and_of_those_that_it_starts_are_counted():
    async def child():
        for _ in range(3):
            await trio.lowlevel.checkpoint()

    with counting_steps() as steps:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)
    assert steps.count == 2 * 4 + 1, "each child begins, and wakes thrice; then the nursery does"
    with counting_steps(3) as cut:
        await child()
        await trio.lowlevel.checkpoint()
    assert (cut.count, cut.scope.cancelled_caught) == (4, True), "the third was reached, the fourth not passed"


async def test_a_fault_that_is_told_too_late_is_not_noticed():
    class Dawdling(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            await trio.sleep_forever()
            raise ComponentError("it stalled")
            yield

    kit = conformance.language_model(
        parrot.adapter(Dawdling),
        parrot.ParrotOptions(),
        faults={"stall": parrot.ParrotOptions("stall")},
        limits=conformance.Limits(deadline_s=0.1),
    )
    with pytest.raises(conformance.ConformanceError, match=r"a_stall_is_noticed: a stream did not open within 0\.1 s"):
        await kit.check(["a_stall_is_noticed"])


async def test_a_slip_of_the_adapter_s_is_told_with_its_line():
    class Slipping(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            async with super().respond(request) as reply:
                yield reply.no_such_thing

    @asynccontextmanager
    async def opening(options, resources):
        yield Slipping(parrot.ParrotOptions())

    adapter = Adapter(name="parrot", role="llm", options=SlipOptions, open=opening)
    kit = conformance.language_model(adapter, SlipOptions(), faults={"refuse": SlipOptions()})
    line = Slipping.respond.__wrapped__.__code__.co_firstlineno + 3
    with pytest.raises(conformance.ConformanceError) as raised:
        await kit.check(["a_reply_ends_once", "a_refusal_is_told"])
    ends, told = raised.value.report.failed
    place = f", in test_kit.py:{line} (respond)"
    assert ends.message.startswith("it failed: ComponentError: parrot: AttributeError: ")
    assert ends.message.endswith(place)
    assert told.message.startswith("what came was no ComponentError, but AttributeError: ")
    assert told.message.endswith(place)


async def test_throttling_without_a_time_says_how_to_hand_it_in():
    class Throttled(parrot.Parrot):
        @asynccontextmanager
        async def respond(self, request):
            raise ComponentError("too many", retryable=True)
            yield

    options = parrot.ParrotOptions()
    kit = conformance.language_model(parrot.adapter(Throttled), options, faults={"throttled": options})
    with pytest.raises(conformance.ConformanceError) as raised:
        await kit.check(["throttling_is_told"])
    (failure,) = raised.value.report.failed
    assert failure.message.startswith("retry_after_s is None, the service said how long to wait: ")
    assert '`"throttled": None`' in failure.means
