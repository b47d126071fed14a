"""Language models with the faults of somebody who knows what a reply is, and has not seen two calls at once."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import trio
from parrot import Parrot, Reply, with_reply

from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import Dtmf, ToolCall, ToolResults
from voicepipe.errors import ComponentError


class BlocksTheLoop(Reply):
    async def receive(self):
        event = await super().receive()
        if isinstance(event, ReplyDone):
            time.sleep(0.1)  # noqa: ASYNC251 - that is its fault
        return event


def hold_up():
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass


class ComputesInTheLoop(Reply):
    async def make(self):
        hold_up()
        await super().make()


class LeavesSlowly(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        async with super().respond(request) as reply:
            yield reply
        with trio.CancelScope(shield=True):
            await trio.sleep(0.3)


class LeavesSlowlyWhenCancelled(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        try:
            async with super().respond(request) as reply:
                yield reply
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.3)
            raise


class AnswersOneAtATime(Parrot):
    def __init__(self, options):
        super().__init__(options)
        self.lock = trio.Lock()

    @asynccontextmanager
    async def respond(self, request):
        async with self.lock, super().respond(request) as reply:
            yield reply


class ReadsOneAtATime(AnswersOneAtATime):
    """As one does whose client has a pool of one connection, and whose replies are read ahead."""

    @asynccontextmanager
    async def respond(self, request):
        async with Parrot.respond(self, request) as reply:
            yield reply

    class reply(Reply):  # noqa: N801
        def __init__(self, parrot, request):
            super().__init__(parrot, request)
            self.made, self.events = trio.open_memory_channel(16)

        async def make(self):
            async with self.parrot.lock:
                await super().make()


class HasOneConnection(Parrot):
    """All replies come over it, one after the other, and one that is left stays in it."""

    def __init__(self, options):
        super().__init__(options)
        self.connection = []

    class reply(Reply):  # noqa: N801
        def __init__(self, parrot, request):
            super().__init__(parrot, request)
            parrot.connection += self.left

        async def receive(self):
            await trio.lowlevel.checkpoint()
            if getattr(self, "over", False):
                return None
            event = self.parrot.connection.pop(0)
            self.over = isinstance(event, ReplyDone)
            return event

        async def make(self):
            await trio.lowlevel.checkpoint()


class KeepsTheCall(Parrot):
    said = ""

    class reply(Reply):  # noqa: N801
        def told(self):
            self.parrot.said = f"{self.parrot.said} {super().told()}".strip()[-200:]
            return self.parrot.said


class RemembersInAModule(Reply):
    heard = []  # noqa: RUF012 - that is its fault

    def told(self):
        self.heard.append(super().told())
        return " ".join(self.heard[-3:])


class SharesAClient(Parrot):
    closed = False

    @asynccontextmanager
    async def respond(self, request):
        if type(self).closed:
            raise ComponentError("the client is closed")
        async with super().respond(request) as reply:
            yield reply

    def close(self):
        type(self).closed = True


class ProbesNothing(Parrot):
    async def probe(self):
        await trio.lowlevel.checkpoint()


class ReadsAStateThatItDoesNotLeave(Reply):
    def told(self):
        return f"{self.request.state or 'a new call'} {super().told()}"


class LeavesAStateThatItDoesNotRead(Reply):
    def all(self):
        for event in super().all():
            yield ReplyDone(state=["a call"]) if isinstance(event, ReplyDone) else event


class ChangesTheState(Reply):
    def all(self):
        state = self.request.state or []
        state.append("turn")
        yield TextDelta(f"{len(state)} ")
        for event in super().all():
            yield ReplyDone(state=state) if isinstance(event, ReplyDone) else event


class LosesToolCalls(Reply):
    def all(self):
        calls = [event for event in super().all() if isinstance(event, ToolCall)]
        if calls:
            yield ReplyDone("empty")
        else:
            yield from super().all()


class WritesCallsAsText(Reply):
    def all(self):
        for event in super().all():
            yield TextDelta(f"{event.name}()") if isinstance(event, ToolCall) else event


class CallsWhenItIsDone(Reply):
    """As one does who hands calls on at the end of the stream, where they are whole."""

    def all(self):
        yield from (event for event in super().all() if not isinstance(event, ToolCall))
        yield from (event for event in super().all() if isinstance(event, ToolCall))


class CallsWhatIsNotOffered(Reply):
    def all(self):
        if "open" in self.told():
            yield ToolCall("1", "opening_hours", {"day": "Monday"})
        yield from super().all()


class NumbersCallsFromOne(Reply):
    def all(self):
        number = 0
        for event in super().all():
            number += isinstance(event, ToolCall)
            yield ToolCall(f"call_{number}", event.name, event.arguments) if isinstance(event, ToolCall) else event


class TellsCallsTwice(Reply):
    def all(self):
        for event in super().all():
            if isinstance(event, ToolCall):
                yield ToolCall(f"{event.id}-", event.name, event.arguments)
            yield event


class LosesArguments(Reply):
    def all(self):
        for event in super().all():
            yield ToolCall(event.id, event.name) if isinstance(event, ToolCall) else event


class StripsTokens(Reply):
    def all(self):
        for event in super().all():
            yield TextDelta(event.text.strip()) if isinstance(event, TextDelta) else event


class SqueezesBlanks(Reply):
    """As one does who passes blanks over that come alone."""

    def all(self):
        for event in super().all():
            if isinstance(event, TextDelta):
                yield TextDelta(event.text[:1])
                yield TextDelta(event.text[1:].rstrip())
            else:
                yield event


class RepeatsAllSoFar(Reply):
    def all(self):
        so_far = ""
        for event in super().all():
            if isinstance(event, TextDelta):
                so_far += event.text
                yield TextDelta(so_far)
            else:
                yield event


class RepeatsItAtTheEnd(Reply):
    def all(self):
        whole = ""
        for event in super().all():
            if isinstance(event, TextDelta):
                whole += event.text
            elif isinstance(event, ReplyDone):
                yield TextDelta(whole.strip())
            yield event


class IgnoresKeys(Reply):
    def told(self):
        return "a key" if isinstance(self.request.trigger, Dtmf) else super().told()


class IgnoresResults(Reply):
    def told(self):
        return "thank you" if isinstance(self.request.trigger, ToolResults) else super().told()


class ShowsItsKey(Parrot):
    def __init__(self, options):
        super().__init__(options)
        self.key = options.api_key

    @asynccontextmanager
    async def respond(self, request):
        if self.fault:
            raise ComponentError("429", retry_after_s=2.0, hint=f"does {self.key!s} ask too often?")
        async with super().respond(request) as reply:
            yield reply


class BlocksWhenLeftEarly(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        async with super().respond(request) as reply:
            yield reply
        if reply.left:
            hold_up()


class BlocksWhenProbed(Parrot):
    async def probe(self):
        hold_up()
        await super().probe()


class IsPaidTwice(Reply):
    def all(self):
        yield Usage(3, 4)
        yield from super().all()


class IsPaidBack(Reply):
    def all(self):
        yield Usage(3, -4)
        yield from super().all()


MUTANTS = [
    (with_reply(IsPaidBack), "events_are_well_formed"),
    (with_reply(BlocksTheLoop), "nothing_holds_up_the_loop"),
    (with_reply(ComputesInTheLoop), "nothing_holds_up_the_loop"),
    (BlocksWhenLeftEarly, "nothing_holds_up_the_loop"),
    (BlocksWhenProbed, "nothing_holds_up_the_loop"),
    (LeavesSlowly, "leaving_takes_no_time"),
    (LeavesSlowlyWhenCancelled, "leaving_takes_no_time"),
    (AnswersOneAtATime, "calls_are_served_at_the_same_time"),
    (ReadsOneAtATime, "calls_are_served_at_the_same_time"),
    (HasOneConnection, "what_was_left_is_not_heard_again"),
    (KeepsTheCall, "streams_do_not_mix"),
    (KeepsTheCall, "a_cancelled_receive_loses_nothing"),
    (with_reply(RemembersInAModule), "a_call_hears_nothing_of_another"),
    (SharesAClient, "components_do_not_share"),
    (ProbesNothing, "a_probe_tells_the_truth"),
    (with_reply(ReadsAStateThatItDoesNotLeave), "state_travels_with_the_call"),
    (with_reply(LeavesAStateThatItDoesNotRead), "state_travels_with_the_call"),
    (with_reply(ChangesTheState), "state_travels_with_the_call"),
    (with_reply(LosesToolCalls), "tool_calls_can_be_answered"),
    (with_reply(WritesCallsAsText), "tool_calls_can_be_answered"),
    (with_reply(CallsWhenItIsDone), "a_reply_ends_once"),
    (with_reply(CallsWhatIsNotOffered), "tool_calls_can_be_answered"),
    (with_reply(NumbersCallsFromOne), "tool_calls_can_be_answered"),
    (with_reply(TellsCallsTwice), "events_are_well_formed"),
    (with_reply(LosesArguments), "tool_calls_can_be_answered"),
    (with_reply(StripsTokens), "text_comes_in_pieces_that_add_up"),
    (with_reply(SqueezesBlanks), "text_comes_in_pieces_that_add_up"),
    (with_reply(RepeatsAllSoFar), "text_comes_in_pieces_that_add_up"),
    (with_reply(RepeatsItAtTheEnd), "text_comes_in_pieces_that_add_up"),
    (with_reply(IgnoresKeys), "keys_and_tool_results_are_heeded"),
    (with_reply(IgnoresResults), "keys_and_tool_results_are_heeded"),
    (ShowsItsKey, "throttling_is_told"),
    (with_reply(IsPaidTwice), "events_are_well_formed"),
]
"""Each with the check that is meant for it."""
