"""The replies of one call, one at a time: each is begun, becomes audible, is interrupted or heard to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.calls.events import ReplyPrepared, ReplyResumed, ReplyStarted, TurnEnded
from voicepipe.calls.replies.reply import SpokenReply
from voicepipe.calls.replies.turn import TRIGGER_NAMES, Exchange, heard_in
from voicepipe.calls.turns import events as turns
from voicepipe.components.requests import Utterance
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.conversation import Conversation
    from voicepipe.calls.listening.listening import Listening
    from voicepipe.calls.observing import Telling
    from voicepipe.calls.replies.playout import Playout
    from voicepipe.calls.replies.speaking import Speaker
    from voicepipe.calls.tasks import Tasks
    from voicepipe.calls.tools.running import ToolRuns
    from voicepipe.calls.turns.events import CallerInput, Event
    from voicepipe.components.requests import Trigger
    from voicepipe.pipelines.snapshot import CachedSpeech

    Inputs = tuple[CallerInput, ...]


class Replies:
    """What turn-taking wants said is said here, and what became of it is told.

    Args:
        speaker: turns replies into speech.
        conversation: what the model is told.
        playout: where the speech goes.
        listening: learns what the caller is likely to say next.
        tasks: the call's; a reply is one of them, and one cancel scope.
        tell: the observer.
        happened: turn-taking.
        failed: told when a reply could not be made.
        tools: runs the tools that replies call.

    """

    def __init__(
        self,
        *,
        speaker: Speaker,
        conversation: Conversation,
        playout: Playout,
        listening: Listening,
        tasks: Tasks,
        tell: Telling,
        happened: Callable[[Event], None],
        failed: Callable[[ComponentError], None],
        tools: ToolRuns,
    ) -> None:
        self._speaker, self._conversation, self._playout = speaker, conversation, playout
        self._listening, self._tasks, self._tell = listening, tasks, tell
        self._happened, self._failed, self._tools = happened, failed, tools
        self._current: Exchange | None = None
        self.count = 0
        """How many exchanges there were."""

    def take_format(self, audio: AudioFormat) -> None:
        """The transport takes another format from now on."""
        self._playout.take_format(audio)

    def reply(self, trigger: Trigger, inputs: Inputs, silent_since: float, final_at: float) -> None:
        """Has the model reply.

        Args:
            trigger: to what.
            inputs: everything that the caller said and pressed since the last reply.
            silent_since: when the caller was last heard to speak.
            final_at: when the last words were final.

        """
        spoken_at = silent_since if isinstance(trigger, Utterance) else None
        self._conversation.hear(inputs)
        self._start(SpokenReply(self._begin(), self._conversation.ask(trigger)), trigger, inputs, spoken_at)
        if self._current is not None:
            self._current.final_at = final_at
        self._listening.settle()

    def prepare(self, trigger: Utterance, inputs: Inputs) -> None:
        """Has the model begin a reply that is not heard until it is adopted."""
        self._conversation.hear(inputs)
        reply = SpokenReply(self._begin(), self._conversation.ask(trigger))
        reply.adopted = trio.Event()
        self._playout.pause()
        self._start(reply, trigger, inputs, None)

    def adopt(self, trigger: Utterance, inputs: Inputs, silent_since: float, final_at: float) -> None:
        """Lets the reply that was prepared be heard."""
        exchange = self._current
        if exchange is not None and exchange.reply.adopted is not None:
            self._tell(ReplyPrepared, used=True, heard=exchange.heard)
            self._conversation.retract()
            self._conversation.hear(inputs)  # the same words, as the recogniser writes them in the end
            exchange.trigger, exchange.inputs = trigger, inputs
            exchange.spoken_at, exchange.final_at = silent_since, final_at
            exchange.reply.adopted.set()
            self._playout.resume()
            self._listening.settle()

    def discard(self) -> None:
        """Throws the reply away that was prepared."""
        exchange = self._current
        if exchange is not None and exchange.is_prepared:
            self._tell(ReplyPrepared, used=False, heard=exchange.heard)
            self.cancel(retracted=True)

    def pause(self) -> None:
        """Stops playing the reply; it may go on."""
        self._playout.pause()

    def resume(self) -> None:
        """Goes on with the reply where it stopped."""
        if self._current is not None:
            self._tell(ReplyResumed, turn=self._current.number)
        self._playout.resume()

    def announce(
        self, text: str, recorded: CachedSpeech | None, answers: Trigger | None, inputs: Inputs, silent_since: float
    ) -> None:
        """Says a text, without asking the model; as it was recorded, if it was."""
        spoken_at = silent_since if isinstance(answers, Utterance) else None
        self._conversation.hear(inputs)
        self._start(SpokenReply(self._begin(), None, text, recorded), answers, inputs, spoken_at)

    def cancel(self, *, retracted: bool, by_caller: bool = True) -> None:
        """Stops the reply at once, and keeps what was heard of it.

        Args:
            retracted: nobody has heard it, and what was replied to comes again as part of a longer utterance.
            by_caller: whether it is stopped for something that the caller did.

        """
        exchange = self._current
        if exchange is None:
            return
        if retracted:
            self._current = None
            self.count -= 1
            self._conversation.retract()
        else:
            if exchange.audible_at is not None:
                self._commit(exchange)
            self._close(exchange, whole=False, by_caller=by_caller)
            self._tools.interrupt()
        self._playout.drop()
        exchange.reply.scope.cancel()
        if exchange.reply.adopted is not None:
            exchange.reply.adopted.set()  # one that has failed waits for nothing else

    def end(self, inputs: Inputs) -> None:
        """The call is over.

        Args:
            inputs: what the caller said and pressed that no reply has taken up; it is a turn by itself.

        """
        self.discard()
        if self._current is not None:
            self._close(self._current, whole=False, by_caller=True)
        self._playout.drop()
        if inputs:
            self.count += 1
            heard, pressed = heard_in(inputs)
            trigger = TRIGGER_NAMES[type(inputs[-1])]
            said = {"said": "", "interrupted": False, "response_ms": None}
            self._tell(TurnEnded, turn=self.count, trigger=trigger, heard=heard, pressed=pressed, **said)

    def _begin(self) -> int:
        return self._playout.begin(self._on_audible)

    def _start(self, reply: SpokenReply, trigger: Trigger | None, inputs: Inputs, spoken_at: float | None) -> None:
        self.count += 1
        self._current = Exchange(self.count, trigger, inputs, reply, spoken_at, asked_at=trio.current_time())
        reply.written = self._on_written
        self._tasks.start_soon(self._run, self._current)

    async def _run(self, exchange: Exchange) -> None:
        reply = exchange.reply
        try:
            with reply.scope:
                await self._speaker.speak(reply)
                if reply.adopted is not None:
                    await reply.adopted.wait()
        except ComponentError as error:
            if reply.adopted is not None:
                await reply.adopted.wait()  # it may never be wanted
            if self._current is exchange:
                self._close(exchange, whole=False)
                self._failed(error)
            return
        # A reply that was dropped while it was only waiting to be heard ends here too, but it is not the turn any more.
        if self._current is exchange:
            self._commit(exchange)
            self._close(exchange, whole=True)
            self._happened(turns.ReplyEnded(exchange.called.ending))

    def _on_audible(self) -> None:
        exchange = self._current
        if exchange is not None:
            exchange.audible_at = trio.current_time()
            self._tell(ReplyStarted, turn=exchange.number, response_ms=exchange.response_ms)
            self._commit(exchange)
            self._happened(turns.ReplyAudible())

    def _on_written(self) -> None:
        exchange = self._current
        if exchange is not None and exchange.audible_at is not None:
            self._commit(exchange)

    def _commit(self, exchange: Exchange) -> None:
        """Keeps what the model wants kept, and does what it asks for, once its reply counts."""
        reply = exchange.reply
        if reply.done is not None and reply.request is not None and not exchange.committed:
            exchange.committed = True
            if (listen := self._conversation.commit(reply)) is not None:
                self._listening.expect(listen)
            exchange.called = self._tools.begin(reply.tool_calls, reply.request.tools)

    def _close(self, exchange: Exchange, *, whole: bool, by_caller: bool = False) -> None:
        """Keeps of the reply what was heard, and reports the turn.

        Args:
            exchange: which.
            whole: whether all of the reply was heard; the model is told if not.
            by_caller: whether it was the caller who cut it short.

        """
        self._current = None
        said = exchange.reply.heard(self._playout.played_ms)
        self._conversation.agent_said(said, interrupted=not whole, tool_calls=exchange.called.calls)
        self._tools.heard()
        heard, pressed = heard_in(exchange.inputs)
        self._tell(
            TurnEnded,
            turn=exchange.number,
            trigger=exchange.trigger_name,
            heard=heard,
            pressed=pressed,
            said=said,
            interrupted=by_caller,
            response_ms=exchange.response_ms,
            timings=exchange.timings,
        )
