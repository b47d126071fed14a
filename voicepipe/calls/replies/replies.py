"""The replies of one call, one at a time: each is begun, becomes audible, and is interrupted or heard to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from voicepipe.calls.events import ReplyContinued, ReplyPrepared, ReplyResumed, ReplyStarted, TurnEnded
from voicepipe.calls.replies.reply_text import ReplyText
from voicepipe.calls.replies.turn import CallerSide, Fate, Turn
from voicepipe.calls.turns import events as turns
from voicepipe.components.requests import Told, Utterance
from voicepipe.errors import ComponentError
from voicepipe.tools.context import SayOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.conversation import Conversation
    from voicepipe.calls.listening.listening import Listening
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.replies.playout import Playout
    from voicepipe.calls.replies.reply_sound import ReplySound
    from voicepipe.calls.replies.speaking import ReplySpeaker
    from voicepipe.calls.replies.waiting_sounds import WaitingSounds
    from voicepipe.calls.sayings import Sayings
    from voicepipe.calls.tasks import Tasks
    from voicepipe.calls.tools.running import ToolRuns
    from voicepipe.calls.turns.actions import Announce
    from voicepipe.calls.turns.events import CallerInput, Event
    from voicepipe.calls.turns.state import SpeechTimes
    from voicepipe.components.requests import Trigger
    from voicepipe.pipelines.snapshot import CachedSpeech

    Inputs = tuple[CallerInput, ...]


class Replies:
    """Carries out what turn-taking decides about replies, and reports what became of each.

    At most one turn is the present one. A turn that was cancelled is not, though its task may still be ending. That
    task compares its turn with the present one before it reports anything.

    Args:
        speaker: turns replies into speech.
        conversation: keeps the messages.
        playout: where the speech goes.
        listening: learns what the caller is likely to say next.
        tasks: the call's; a reply is one of them, in one cancel scope.
        emit: reports events to the observer.
        happened: feeds an event to turn-taking.
        failed: called when a reply could not be made.
        tools: runs the tools that replies call.
        sounds: are played while the caller waits.
        sayings: learns what was heard of texts that the program had said.

    """

    def __init__(
        self,
        *,
        speaker: ReplySpeaker,
        conversation: Conversation,
        playout: Playout,
        listening: Listening,
        tasks: Tasks,
        emit: EventEmitter,
        happened: Callable[[Event], None],
        failed: Callable[[ComponentError], None],
        tools: ToolRuns,
        sounds: WaitingSounds,
        sayings: Sayings,
    ) -> None:
        self._speaker, self._conversation, self._playout = speaker, conversation, playout
        self._listening, self._tasks, self._emit = listening, tasks, emit
        self._happened, self._failed, self._tools = happened, failed, tools
        self._sounds, self._sayings = sounds, sayings
        self._current: Turn | None = None
        self.count = 0
        """The number of turns so far, including the present one."""

    def take_format(self, audio: AudioFormat) -> None:
        """Switches to another format of the transport."""
        self._playout.take_format(audio)

    def heard(self, mark: int) -> None:
        """Takes the transport's report that everything before a mark was played."""
        self._playout.heard(mark)

    @property
    def are_unconfirmed(self) -> bool:
        """Whether the last words may be on their way to the caller still."""
        return self._playout.is_unconfirmed

    async def wait_confirmed(self) -> bool:
        """Waits until the caller has heard the last words; False: the transport has not reported it for too long."""
        return await self._playout.wait_confirmed()

    # --- What turn-taking decides ------------------------------------------------------------------------------------

    def reply(self, trigger: Trigger, inputs: Inputs, spoke: SpeechTimes) -> None:
        """Requests a reply from the model, and speaks it.

        Args:
            trigger: the event that is replied to.
            inputs: everything that the caller said and pressed since the last reply.
            spoke: when the caller said it.

        """
        self._conversation.caller_said(inputs)
        if isinstance(trigger, Told) and trigger.transfer:
            self._conversation.told_of_transfer(trigger)
        caller = CallerSide(trigger, inputs, _spoken_at(trigger, spoke), spoke.final, _speech(spoke))
        self._begin(caller, ReplyText(self._conversation.ask(trigger)))
        self._listening.return_to_preferred()

    def tell(self, fact: Told) -> None:
        """Tells the model that nobody took a transfer, without a reply to that."""
        self._conversation.told_of_transfer(fact)

    def prepare(self, trigger: Utterance, inputs: Inputs) -> None:
        """Requests a reply that is not heard before it is adopted."""
        self._conversation.caller_said(inputs)
        text = ReplyText(self._conversation.ask(trigger))
        self._begin(CallerSide(trigger, inputs), text, Fate(adopted=trio.Event()))
        self._playout.pause()

    def adopt(self, trigger: Utterance, inputs: Inputs, spoke: SpeechTimes) -> None:
        """Lets the prepared reply be heard."""
        turn = self._current
        if turn is not None and turn.fate.adopted is not None:
            self._emit(ReplyPrepared, used=True, heard=turn.caller.line[0])
            # The words are equal for turn-taking, but the recogniser may write them in another way in the end.
            self._conversation.retract()
            self._conversation.caller_said(inputs)
            turn.caller = CallerSide(trigger, inputs, spoke.ended, spoke.final, _speech(spoke))
            turn.fate.adopted.set()
            self._playout.resume()
            self._listening.return_to_preferred()

    def discard(self) -> None:
        """Throws the prepared reply away."""
        turn = self._current
        if turn is not None and turn.fate.is_prepared:
            self._emit(ReplyPrepared, used=False, heard=turn.caller.line[0])
            self.cancel(retracted=True)

    def pause(self) -> None:
        """Stops playing the reply, which may go on."""
        self._playout.pause()

    def resume(self) -> None:
        """Goes on with the reply where it stopped."""
        if self._current is not None:
            self._emit(ReplyResumed, turn=self._current.number)
        self._playout.resume()

    def announce(self, announcement: Announce, cached: CachedSpeech | None, spoke: SpeechTimes) -> None:
        """Says a text without asking a model.

        Args:
            announcement: the words to say, and what they answer.
            cached: that text as speech, if there is any beforehand.
            spoke: when the caller said it.

        """
        self._conversation.caller_said(announcement.inputs)
        answers = announcement.answers
        caller = CallerSide(answers, announcement.inputs, _spoken_at(answers, spoke), speech=_speech(spoke))
        text = ReplyText(announcement=announcement.text)
        cached = self._sayings.speech_of(announcement.saying) or cached
        self._begin(caller, text, Fate(saying=announcement.saying), cached=cached)

    def cancel(self, *, retracted: bool, by_caller: bool = True) -> None:
        """Stops the reply at once, and keeps the part of it that was heard.

        Args:
            retracted: nobody has heard it, and what it replied to comes again as part of a longer utterance.
            by_caller: whether it is stopped for something that the caller did.

        """
        turn = self._current
        if turn is None:
            return
        if retracted:
            self._current = None
            self.count -= 1
            self._conversation.retract()
        else:
            if turn.fate.audible_at is not None:
                self._commit(turn)
            self._close(turn, whole=False, by_caller=by_caller)
            if by_caller:
                self._tools.interrupt()
        self._playout.drop()
        turn.scope.cancel()
        if turn.fate.adopted is not None:
            turn.fate.adopted.set()  # a reply that has failed waits for nothing else

    def end(self, inputs: Inputs, spoke: SpeechTimes, *, by_caller: bool) -> None:
        """Ends the present reply with the call, and reports the last turn.

        Args:
            inputs: what the caller said and pressed that no reply has taken up; it is a turn by itself.
            spoke: when the caller said it.
            by_caller: whether the caller has ended the call.

        """
        self.discard()
        if self._current is not None:
            self._close(self._current, whole=False, by_caller=by_caller)
        self._sounds.close()
        self._playout.close()
        if inputs:
            self.count += 1
            caller = CallerSide(inputs[-1], inputs, speech=_speech(spoke))
            self._report(self.count, caller, said="", interrupted=False, response_ms=None)

    @property
    def _is_replying(self) -> bool:
        return self._current is not None

    # --- The present reply -------------------------------------------------------------------------------------------

    def _begin(
        self, caller: CallerSide, text: ReplyText, fate: Fate | None = None, *, cached: CachedSpeech | None = None
    ) -> None:
        sound = self._playout.begin(self._on_audible)
        sound.on_segment = self._on_segment
        self.count += 1
        turn = Turn(self.count, caller, text, sound, fate or Fate(), asked_at=trio.current_time())
        text.on_complete.append(self._on_text_complete)
        self._current = turn
        self._tasks.start_soon(self._run, turn, cached)

    async def _run(self, turn: Turn, cached: CachedSpeech | None) -> None:
        adopted = turn.fate.adopted
        try:
            with turn.scope:
                if cached is None:
                    await self._speaker.speak(turn.text, turn.sound)
                else:
                    await self._speaker.play(cached, turn.sound)
                if adopted is not None:
                    await adopted.wait()
        except ComponentError as error:
            if adopted is not None:
                await adopted.wait()  # a prepared reply that failed may never be wanted; then nobody hears of it
            if self._current is turn:
                self._close(turn, whole=False)
                if not self._is_replying:
                    self._failed(error)
            return
        # A turn that was cancelled while its reply was only waiting to be heard ends here too.
        if self._current is turn:
            self._commit(turn)
            self._close(turn, whole=not turn.sound.is_given_up)
            # An observer of the turn's end may have had last words begun, and this is not their end.
            if not self._is_replying:
                self._happened(turns.ReplyEnded(turn.fate.called.ending))

    def _on_audible(self) -> None:
        turn = self._current
        if turn is not None:
            turn.fate.audible_at = trio.current_time()
            self._sounds.speech_began()
            self._emit(ReplyStarted, turn=turn.number, response_ms=turn.response_ms)
            self._on_segment(turn.sound)  # of those that came before: a prepared reply may never have been wanted
            self._commit(turn)
            self._happened(turns.ReplyAudible())

    def _on_segment(self, sound: ReplySound) -> None:
        turn = self._current
        if turn is not None and turn.sound is sound and turn.fate.audible_at is not None:
            self._emit(ReplyContinued, turn=turn.number, text=sound.begun_text)

    def _on_text_complete(self) -> None:
        turn = self._current
        if turn is not None and turn.fate.audible_at is not None:
            self._commit(turn)

    def _commit(self, turn: Turn) -> None:
        """Keeps what the model wants kept, and begins the tools that it calls; both once, when its reply counts.

        A reply counts when the model has ended it and the caller hears it, or when it has ended unheard. Until then it
        may be retracted, or another model may have to begin again.
        """
        text, fate = turn.text, turn.fate
        if text.done is not None and text.request is not None and not fate.committed:
            fate.committed = True
            self._conversation.keep_state(text.model, text.done.state)
            if text.done.listen is not None:
                self._listening.set_expected_phrases(text.done.listen)
            fate.called = self._tools.begin(text.tool_calls, text.request.tools)

    def _close(self, turn: Turn, *, whole: bool, by_caller: bool = False) -> None:
        """Keeps the part of the reply that was heard, and reports the turn.

        Args:
            turn: the present one; afterwards there is none.
            whole: whether all of the reply was heard; the model is told if not.
            by_caller: whether the caller cut it short.

        """
        self._current = None
        said = turn.sound.heard(self._playout.played_ms)
        self._conversation.agent_said(said, interrupted=not whole, tool_calls=turn.fate.called.calls)
        self._tools.reply_ended()
        self._sounds.reply_ended(tools_run=self._tools.running)
        self._sayings.end(turn.fate.saying, SayOutcome(said, whole))
        became = {"interrupted": by_caller, "response_ms": turn.response_ms, "timings": turn.timings}
        if (audible_at := turn.fate.audible_at) is not None:
            heard_until = max(audible_at, min(self._playout.heard_until, trio.current_time()))
            became |= {"said_from_s": self._emit.in_call(audible_at), "said_until_s": self._emit.in_call(heard_until)}
        self._report(turn.number, turn.caller, said=said, **became)

    def _report(self, number: int, caller: CallerSide, **reply: Any) -> None:
        heard, pressed = caller.line
        trigger = caller.trigger_name
        heard_from, heard_until = map(self._emit.in_call, caller.speech or (None, None))
        said = {"heard": heard, "pressed": pressed, "heard_from_s": heard_from, "heard_until_s": heard_until}
        self._emit(TurnEnded, turn=number, trigger=trigger, **said, **reply)


def _spoken_at(trigger: Trigger | None, spoke: SpeechTimes) -> float | None:
    """Returns the time at which the caller stopped speaking if the trigger was spoken, else None."""
    return spoke.ended if isinstance(trigger, Utterance) else None


def _speech(spoke: SpeechTimes) -> tuple[float, float] | None:
    """Returns the beginning and the end of the speech; a caller who speaks still has spoken until now."""
    if spoke.began is None:
        return None
    return spoke.began, spoke.ended if spoke.ended > spoke.began else trio.current_time()
