"""Steering: what a program, a tool or an operator may have a call do while it is up.

A call is steered by the same means by which it goes on by itself. What is to be said or transferred becomes an event of
turn-taking, whose rules decide when (`turns/rules/program_requests.py`); what the model is told becomes a message of
the conversation, so that it is in every request from then on, and in the record. Each request is reported to the
observer as `CallSteered` when it is made, and what comes of it by the events that report the same thing otherwise: a
turn, a transfer, the end.

| request | takes effect | waits until |
| --- | --- | --- |
| `say`, `play` | when nobody speaks, or at once | it was heard, or will not be |
| `tell` | with the next request to the model, or by one at once | |
| `transfer` | when the agent has finished | somebody took it, or the caller is back |
| `hang_up` | at once, or after a goodbye | |
| `set_variables` | at once | |
| `set_language` | with the next turn, of either side | the language is loaded |
| `pause_recording`, `resume_recording` | at once, also before the call begins | |

A request that waits may be cancelled. A text that has not begun is then not said any more; one that has begun, and a
transfer, go on.

A call can be found before it begins, as soon as it is opened. What is asked of it until then takes effect when it has
begun, after the greeting was asked for: a call whose agent was made to speak before would have no greeting. What waits
does so from the start, and facts and variables, which the first request to a model should have, are noted at once.

A call that is over, or that says its last words, takes no requests: they raise `CallOver`. `metadata` and what can be
read stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from voicepipe.calls.events import CallSteered
from voicepipe.calls.sayings import UNHEARD
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.components.requests import Told
from voicepipe.components.wav_file import read_wav
from voicepipe.errors import CallOver, TransferFailed
from voicepipe.pipelines.snapshot import CachedSpeech
from voicepipe.tools.context import SayOutcome, ToolContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voicepipe.calls.conversation import Conversation
    from voicepipe.calls.events import Steering
    from voicepipe.calls.listening.listening import Listening
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.recording import RecordedTransport
    from voicepipe.calls.replies.composing import Composer
    from voicepipe.calls.sayings import Sayings
    from voicepipe.calls.texts import CallTexts
    from voicepipe.calls.transfers import Transfers
    from voicepipe.calls.turns.events import Event
    from voicepipe.calls.turns.turn_taking import TurnTaking
    from voicepipe.components.requests import CallInfo, Message

PROGRAM = "program"
"""Stands in `CallSteered.by` for the program that holds the call."""

TOOL = "tool:"
"""Stands before a tool's name in `CallSteered.by`."""

MAX_FILE = 64_000_000
"""The most bytes of a file that is played: over an hour of 8 kHz."""


class CallSteering:
    """Carries out requests to one call; `Call` and `ToolContext` have the same methods, and explain them.

    Args:
        texts: has what is known of the call, and takes changes of it.
        metadata: the call's bag of values.
        turns: the call's turn-taking.
        happened: feeds an event to it.
        end: ends the call at once.
        emit: reports events to the observer.
        conversation: gets facts, and is read.
        sayings: keeps the texts that were asked for.
        transfers: the call's.
        composer: speaks the call's language.
        listening: understands it.
        recording: the call's; None: it is not recorded.

    """

    def __init__(
        self,
        *,
        texts: CallTexts,
        metadata: dict[str, Any],
        turns: TurnTaking,
        happened: Callable[[Event], None],
        end: Callable[[Ending], None],
        emit: EventEmitter,
        conversation: Conversation,
        sayings: Sayings,
        transfers: Transfers,
        composer: Composer,
        listening: Listening,
        recording: RecordedTransport | None,
    ) -> None:
        self._texts, self.metadata = texts, metadata
        self._turns, self._feed, self._end, self._report = turns, happened, end, emit
        self._conversation, self._sayings, self._transfers = conversation, sayings, transfers
        self._composer, self._listening, self._recording = composer, listening, recording
        self._is_over = False
        self._begun = trio.Event()
        self._asked_before: list[Callable[[], None]] = []  # what takes effect when the call has begun

    @property
    def info(self) -> CallInfo:
        """What is known of the call."""
        return self._texts.info

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the call."""
        return self.info.variables

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return self._conversation.messages

    def context_of(self, tool: str) -> ToolContext:
        """Returns the call as a tool sees it that begins now."""
        return ToolContext(self.info.call_id, self.info, self._texts.values_for_tools, SteeredBy(self, f"{TOOL}{tool}"))

    def begin(self) -> None:
        """Carries out what was asked for before: the call has begun."""
        self._begun.set()
        asked, self._asked_before = self._asked_before, []
        for carry_out in asked:
            carry_out()

    def stop(self) -> None:
        """Takes no more requests, and wakes those that wait: the call is over."""
        self._is_over = True
        self._begun.set()
        self._asked_before.clear()
        self._sayings.end_all()
        self._transfers.end()

    async def say(self, text: str, *, interrupt: bool = False, by: str = PROGRAM) -> SayOutcome:
        """Has the agent say a text."""
        text = _with_words(text, "text")
        await self._begun.wait()
        self._begin("say", text, by)
        return await self._say(text, None, interrupt=interrupt)

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False, by: str = PROGRAM) -> SayOutcome:
        """Plays a WAV file."""
        self._check()
        speech = await trio.to_thread.run_sync(_read_speech, Path(file), text, abandon_on_cancel=True)
        await self._begun.wait()
        self._begin("play", str(file), by)
        return await self._say(text, speech, interrupt=interrupt)

    def tell(self, fact: str, *, respond: bool = False, by: str = PROGRAM) -> None:
        """Tells the model a fact."""
        self._begin("tell", _with_words(fact, "fact"), by)
        self._conversation.told(fact)
        self._happened(turns.FactTold(Told(fact) if respond else None))

    async def transfer(self, target: str, *, by: str = PROGRAM) -> None:
        """Transfers the caller."""
        target = _with_words(target, "target").strip()
        await self._begun.wait()
        self._check()
        if under_way := self._transfers.target if self._transfers.is_on else self._turns.state.transfer_to:
            raise TransferFailed(f"a transfer to {under_way} is under way already")
        if not self._transfers.possible:
            raise TransferFailed("the call's transport can't transfer")
        self._begin("transfer", target, by)
        self._happened(turns.TransferAsked(target, by_tool=by.startswith(TOOL)))
        await self._transfers.wait_outcome()

    def hang_up(self, goodbye: str = "", *, by: str = PROGRAM) -> None:
        """Ends the call."""
        if self._is_over:
            if not goodbye.strip():
                self._end(Ending("agent_hung_up"))  # the line may be open still, until its last words were heard
            return
        self._emit(CallSteered, action="hang_up", text=goodbye, by=by)
        if goodbye.strip():
            self._happened(turns.HangUpAsked(goodbye))
        else:
            self._once_begun(lambda: self._end(Ending("agent_hung_up")))

    def drain(self) -> None:
        """Ends the call politely."""
        self._happened(turns.DrainAsked())

    def set_variables(self, variables: Mapping[str, str], *, by: str = PROGRAM) -> None:
        """Changes variables of the call."""
        for name, value in variables.items():
            if not (isinstance(name, str) and name and isinstance(value, str)):
                raise ValueError(f"variables are texts with names, not {name!r}: {value!r}")
        self._check()
        self._emit(CallSteered, action="set_variables", variables=dict(variables), by=by)
        self._texts.info = evolve(self.info, variables={**self.info.variables, **variables})

    async def set_language(self, language: str, *, by: str = PROGRAM) -> None:
        """Switches the language of the call."""
        language = _with_words(language, "language").strip()
        await self._begun.wait()
        self._check()
        speech = evolve(self._composer.speech, language=language)
        # 20 ms of imports the first time: a pipeline that opens has done them for its own language.
        from voicepipe.text.spoken.wording import prepare  # noqa: PLC0415

        await trio.to_thread.run_sync(prepare, speech)
        self._begin("set_language", language, by)
        self._composer.speech = speech
        self._texts.language = language
        self._listening.set_language(language)
        self._happened(turns.LanguageSwitched(language))

    def pause_recording(self, *, by: str = PROGRAM) -> bool:
        """Has the recording be silent."""
        self._begin("pause_recording", "", by)
        if self._recording is None:
            return False
        self._recording.pause()
        return self._recording.is_kept

    def resume_recording(self, *, by: str = PROGRAM) -> bool:
        """Has the recording go on."""
        self._begin("resume_recording", "", by)
        if self._recording is None:
            return False
        self._recording.resume()
        return self._recording.is_kept

    def _check(self) -> None:
        if self._is_over:
            raise CallOver("the call is over")
        if self._turns.phase == "closing":
            raise CallOver("the call is ending: the agent says its last words")

    def _begin(self, action: Steering, text: str, by: str) -> None:
        self._check()
        self._emit(CallSteered, action=action, text=text, by=by)

    def _emit(self, event: type[CallSteered], **fields: Any) -> None:
        self._once_begun(lambda: self._report(event, **fields))

    def _happened(self, event: Event) -> None:
        self._once_begun(lambda: self._feed(event))

    def _once_begun(self, carry_out: Callable[[], None]) -> None:
        if self._begun.is_set():
            carry_out()
        else:
            self._asked_before.append(carry_out)

    async def _say(self, text: str, speech: CachedSpeech | None, *, interrupt: bool) -> SayOutcome:
        number = self._sayings.add(speech)
        self._happened(turns.SayAsked(turns.Saying(text, number), interrupt))
        try:
            return await self._sayings.wait(number)
        except trio.Cancelled:
            self._happened(turns.SayWithdrawn(number))
            self._sayings.end(number, UNHEARD)
            raise


class SteeredBy:
    """The steering of one call by somebody; a `SteerableCall`, which explains the methods."""

    def __init__(self, steering: CallSteering, by: str) -> None:
        self._steering = steering
        self.by = by
        """Who it is, as in `CallSteered.by`."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The call's bag of values."""
        return self._steering.metadata

    @property
    def variables(self) -> Mapping[str, str]:
        """The call's variables as they are now."""
        return self._steering.variables

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return self._steering.conversation

    async def say(self, text: str, *, interrupt: bool = False) -> SayOutcome:
        """Has the agent say a text."""
        return await self._steering.say(text, interrupt=interrupt, by=self.by)

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False) -> SayOutcome:
        """Plays a WAV file to the caller."""
        return await self._steering.play(file, text=text, interrupt=interrupt, by=self.by)

    def tell(self, fact: str, *, respond: bool = False) -> None:
        """Tells the model a fact."""
        self._steering.tell(fact, respond=respond, by=self.by)

    async def transfer(self, target: str) -> None:
        """Transfers the caller."""
        await self._steering.transfer(target, by=self.by)

    def hang_up(self, goodbye: str = "") -> None:
        """Ends the call."""
        self._steering.hang_up(goodbye, by=self.by)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Changes variables of the call."""
        self._steering.set_variables(variables, by=self.by)

    async def set_language(self, language: str) -> None:
        """Switches the language of the call."""
        await self._steering.set_language(language, by=self.by)

    def pause_recording(self) -> bool:
        """Has the recording be silent."""
        return self._steering.pause_recording(by=self.by)

    def resume_recording(self) -> bool:
        """Has the recording go on."""
        return self._steering.resume_recording(by=self.by)


def _with_words(text: str, name: str) -> str:
    if not text.strip():
        raise ValueError(f"{name}: is empty")
    return text


def _read_speech(path: Path, text: str) -> CachedSpeech:
    """Reads a sound to play.

    Raises:
        OSError: the file can't be read.
        ValueError: it can't be played.

    """
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"{path}: has over {MAX_FILE} bytes, too many to play")
    try:
        audio, samples = read_wav(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return CachedSpeech(text, samples, audio)
