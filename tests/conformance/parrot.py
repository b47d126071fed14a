"""A language model's adapter in memory that behaves, and others like it that each have one fault."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from uuid import uuid4

import trio
from attrs import define, frozen
from leftovers import leave_a_socket

from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Dtmf, ToolCall, ToolResults, Utterance
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

KEY = Secret("the-key-of-a-parrot", "${PARROT_API_KEY}")


@frozen
class ParrotOptions:
    """What goes wrong."""

    fault: str = ""
    """A kind of the kit's; empty: nothing."""
    api_key: Secret = KEY
    """Never shown."""


@define
class MutableOptions:
    """Options that can be changed under a component's feet."""

    fault: str = ""
    """As above."""


class Reply:
    """Says what it was told, word by word, which a task of the stream's makes."""

    def __init__(self, parrot, request):
        self.parrot, self.request = parrot, request
        self.made, self.events = trio.open_memory_channel(1)
        self.left = deque(self.all())

    def all(self):
        if self.parrot.fault == "empty":
            yield ReplyDone("empty")
            return
        yield from (TextDelta(f"{word} ") for word in self.told().split())
        if any(tool.name == "opening_hours" for tool in self.request.tools):
            yield from (ToolCall(uuid4().hex, "opening_hours", {"day": day}) for day in ("Monday", "Tuesday"))
        yield Usage(3, 4)
        yield ReplyDone()

    def told(self):
        match self.request.trigger:
            case Utterance(text=text):
                return text
            case Dtmf(digits=digits):
                return f"you pressed {digits}"
            case ToolResults(results=results):
                return " ".join(results.values())
        return "say something"

    async def make(self):
        with self.made:
            for event in self.left:
                await self.made.send(event)

    async def receive(self):
        try:
            return await self.events.receive()
        except trio.EndOfChannel:
            return None


class Parrot:
    """Shared by all replies."""

    reply = Reply

    def __init__(self, options):
        self.fault = options.fault

    def close(self):
        """Nothing is open."""

    async def probe(self):
        await trio.lowlevel.checkpoint()
        if self.fault in {"refuse", "unauthorised"}:
            raise ComponentError(self.fault, hint="is it there?", retryable=False)

    @asynccontextmanager
    async def respond(self, request):
        errors = {
            "unauthorised": ComponentError("not allowed", retryable=False, hint="is PARROT_API_KEY set?"),
            "refuse": ComponentError("nobody is there"),
            "throttled": ComponentError("too many requests", retry_after_s=2.0),
            "rubbish": ComponentError("can't be read", answered="@@"),
        }
        if self.fault in errors:
            raise errors[self.fault]
        async with trio.open_nursery() as nursery:
            reply = self.reply(self, request)
            nursery.start_soon(reply.make)
            yield reply
            nursery.cancel_scope.cancel()


def adapter(component=Parrot, options=ParrotOptions):
    @asynccontextmanager
    async def opening(options, resources):
        opened = component(options)
        yield opened
        opened.close()

    return Adapter(name="parrot", role="llm", options=options, open=opening)


def with_reply(reply):
    """The model with other replies."""
    return type(reply.__name__, (Parrot,), {"reply": reply})


class LeaksATask(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        reply = self.reply(self, request)
        trio.lowlevel.spawn_system_task(reply.make)
        yield reply


class LeaksASocket(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        leave_a_socket()
        async with super().respond(request) as reply:
            yield reply


class RemembersForEver(Parrot):
    def __init__(self, options):
        super().__init__(options)
        self.requests = []

    @asynccontextmanager
    async def respond(self, request):
        self.requests.append((request, bytearray(1000)))
        async with super().respond(request) as reply:
            yield reply


class KeepsRequests(Parrot):
    def __init__(self, options):
        super().__init__(options)
        self.requests = []

    @asynccontextmanager
    async def respond(self, request):
        self.requests.append(request)
        async with super().respond(request) as reply:
            yield reply


class SwallowsCancelled(Reply):
    async def receive(self):
        try:
            return await super().receive()
        except trio.Cancelled:
            return None


class LosesAnEventWhenCancelled(Reply):
    async def receive(self):
        event = await super().receive()
        await trio.lowlevel.checkpoint()
        return event


class IsDoneTwice(Reply):
    def all(self):
        yield from super().all()
        yield ReplyDone()


class TalksOn(Reply):
    def all(self):
        yield from super().all()
        yield TextDelta("And another thing.")


class IsNeverDone(Reply):
    def all(self):
        yield from (event for event in super().all() if not isinstance(event, ReplyDone))


class GoesOnAfterNone(Reply):
    ended = False

    async def receive(self):
        event = await super().receive()
        if event is None and self.ended:
            return ReplyDone()
        self.ended = event is None
        return event


class SaysNothing(Reply):
    def all(self):
        yield ReplyDone("complete")


class CallsItEmpty(Reply):
    def all(self):
        yield TextDelta("Hello.")
        yield ReplyDone("empty")


class RepeatsAnId(Reply):
    def all(self):
        for event in super().all():
            yield ToolCall("1", event.name, event.arguments) if isinstance(event, ToolCall) else event


class CallsWhatItWants(Reply):
    def all(self):
        yield ToolCall("1", "format_disk")
        yield from super().all()


class GivesArgumentsAsText(Reply):
    def all(self):
        for event in super().all():
            yield ToolCall(event.id, event.name, '{"day": "Monday"}') if isinstance(event, ToolCall) else event


class SaysBareText(Reply):
    def all(self):
        yield "hello"
        yield ReplyDone()


class Mixes(Reply):
    def __init__(self, parrot, request):
        parrot.request = request
        super().__init__(parrot, request)
        self.left = self.late()

    def late(self):
        yield Usage(1, 1)
        yield Usage(1, 1)
        self.request = self.parrot.request
        yield from self.all()


class AnswersOnlyWords(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        request.messages[-1].text  # noqa: B018 - it fails if there is none
        async with super().respond(request) as reply:
            yield reply


class RaisesAnother(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        if self.fault:
            raise ConnectionResetError("gone")
        async with super().respond(request) as reply:
            yield reply


class RaisesSystemExit(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        if self.fault:
            sys_exit = SystemExit("no model")
            raise sys_exit
        async with super().respond(request) as reply:
            yield reply


class GivesNoHint(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        if self.fault:
            raise ComponentError("401", retryable=False)
        async with super().respond(request) as reply:
            yield reply


class WantsToTryAgain(Parrot):
    @asynccontextmanager
    async def respond(self, request):
        if self.fault:
            raise ComponentError("401", hint="is the key set?")
        async with super().respond(request) as reply:
            yield reply


class TakesNothingForAnAnswer(Reply):
    def all(self):
        if not self.parrot.fault:
            yield from super().all()
        else:
            yield ReplyDone()


MUTANTS = [
    (LeaksATask, "leaving_early_leaves_nothing"),
    (LeaksASocket, "leaving_early_leaves_nothing"),
    (RemembersForEver, "many_streams_give_everything_back"),
    (KeepsRequests, "many_streams_give_everything_back"),
    (with_reply(SwallowsCancelled), "cancelled_is_not_swallowed"),
    (with_reply(LosesAnEventWhenCancelled), "a_cancelled_receive_loses_nothing"),
    (with_reply(IsDoneTwice), "a_reply_ends_once"),
    (with_reply(TalksOn), "a_reply_ends_once"),
    (with_reply(IsNeverDone), "a_reply_ends_once"),
    (with_reply(GoesOnAfterNone), "a_reply_ends_once"),
    (with_reply(SaysNothing), "an_empty_reply_says_so"),
    (with_reply(CallsItEmpty), "an_empty_reply_says_so"),
    (with_reply(RepeatsAnId), "events_are_well_formed"),
    (with_reply(CallsWhatItWants), "events_are_well_formed"),
    (with_reply(GivesArgumentsAsText), "events_are_well_formed"),
    (with_reply(SaysBareText), "events_are_well_formed"),
    (with_reply(Mixes), "streams_do_not_mix"),
    (AnswersOnlyWords, "everything_is_answered"),
    (RaisesAnother, "rubbish_is_told"),
    (RaisesSystemExit, "rubbish_is_told"),
    (GivesNoHint, "a_wrong_key_is_told"),
    (WantsToTryAgain, "a_wrong_key_is_told"),
    (WantsToTryAgain, "throttling_is_told"),
    (with_reply(TakesNothingForAnAnswer), "an_empty_success_is_noticed"),
]
"""Each with the check that is meant for it."""
