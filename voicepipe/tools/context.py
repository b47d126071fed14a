"""The call that a tool runs for, as the tool sees it: who calls, and what it may have the call do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from attrs import field, frozen

from voicepipe.components.requests import CallInfo, Message
from voicepipe.components.trace_context import TraceContext

if TYPE_CHECKING:
    from pathlib import Path


@frozen
class SayOutcome:
    """The fate of a text or a sound that the program had the agent say."""

    heard: str
    """The part of the text that the caller heard; empty: none of it."""
    whole: bool
    """True if it was heard to its end; False: the caller interrupted, a voice failed, or the call ended before."""


class SteerableCall(Protocol):
    """A call that a program or a tool steers while it is up: `voicepipe.Call` is one."""

    @property
    def metadata(self) -> dict[str, Any]:
        """A bag of values by name that the call's program, its tools, its observers and its record share.

        voicepipe itself does not look into it. The record has it as JSON: what JSON can't represent is there as text.
        """

    @property
    def variables(self) -> Mapping[str, str]:
        """The call's variables as they are now."""

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far, as it was said and heard, and what the model was told besides."""

    async def say(self, text: str, *, interrupt: bool = False) -> SayOutcome:
        """Has the agent say a text, and returns when it was heard, or will not be heard any more.

        It is said when nobody speaks: after the present reply, after the one to what the caller is saying, after what
        was asked for before. It is in the conversation as words of the agent, as far as it was heard; the caller may
        interrupt it as any reply. Cancelled before it has begun, it is not said.

        Args:
            text: the words.
            interrupt: whether to say it at once, over the caller and in place of the present reply. A reply that
                nobody has heard any of is requested again afterwards.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            ValueError: the text is empty.

        """

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False) -> SayOutcome:
        """Plays a WAV file to the caller as `say` says a text: mono, 16-bit PCM, A-law or mu-law, any usual rate.

        Args:
            file: the path.
            text: the words that are in it, for the conversation and the record.
            interrupt: as for `say`.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            OSError: the file can't be read.
            ValueError: it can't be played; the text says why.

        """

    def tell(self, fact: str, *, respond: bool = False) -> None:
        """Tells the model a fact, which the caller does not hear: a message of role `operator` in the conversation.

        Args:
            fact: the fact, in words.
            respond: whether the agent replies to it as soon as nobody speaks; else the model reads it with its next
                request.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            ValueError: the fact is empty.

        """

    async def transfer(self, target: str) -> None:
        """Transfers the caller when the agent has finished its reply; returns when the call is over by it.

        Cancelling this ends the wait, not the transfer.

        Args:
            target: the number or extension.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            TransferFailed: nobody took it, and the call goes on: the model has been told, and the agent speaks. Or
                the transport can't transfer, or another transfer is under way.
            ValueError: the target is empty.

        """

    def hang_up(self, goodbye: str = "") -> None:
        """Ends the call at once, or after a goodbye that is said in place of the present reply; no-op if it is over."""

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Changes variables of the call, for tools that begin from now on, and for the record; the others stay.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            ValueError: a variable is not a text.

        """

    async def set_language(self, language: str) -> None:
        """Switches the language of the call.

        The recogniser's changes with the caller's next turn, the voice's with the next reply. A language in the options
        of a component takes precedence, as it does over `speech.language`.

        Args:
            language: a BCP 47 tag: `de`, `pt-BR`.

        Raises:
            CallOver: the call is over, or the agent says its last words.
            ValueError: the language is empty.

        """

    def pause_recording(self) -> bool:
        """Has the call's recording be silent on both sides from now on, for instance while a card number is spoken.

        The file has silence of that length, so all else stays at its second. The conversation goes on, and is in the
        record as ever: `redact` removes private words from there. Pausing what is paused changes nothing.

        Returns:
            Whether the call is recorded now. A pause holds also if the recording begins later, after a consent.

        Raises:
            CallOver: the call is over, or the agent says its last words.

        """

    def resume_recording(self) -> bool:
        """Has the call's recording go on, from now on; nothing changes if it is not paused.

        Returns:
            Whether the call is recorded now.

        Raises:
            CallOver: the call is over, or the agent says its last words.

        """


class _NoCall:
    """Stands for the call of a context that a test has made without one."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"this ToolContext has no call: give it one that has {name!r}, as `call=`")


NO_CALL: Any = _NoCall()


@frozen
class ToolContext:
    """The call that a tool runs for."""

    call_id: str
    """The unique id of the call, as in its events."""
    info: CallInfo
    """The called and calling numbers, and whatever else was known of the call when the tool began."""
    values: Mapping[str, str] = field(factory=dict, eq=False)
    """The call's values by the names that texts have for them: `caller`, `variables.customer`, `date`, `time`."""
    _call: SteerableCall = field(default=NO_CALL, eq=False, repr=False)
    trace: TraceContext | None = field(default=None, eq=False)
    """The span of this run of the tool, for requests that it makes (`TraceContext.headers`); None: there is no
    trace."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The call's bag of values, shared by its tools, its program, its observers and its record."""
        return self._call.metadata

    @property
    def variables(self) -> Mapping[str, str]:
        """The call's variables as they are now; `info.variables` has those of when the tool began."""
        return self._call.variables

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far, as it was said and heard."""
        return self._call.conversation

    async def say(self, text: str, *, interrupt: bool = False) -> SayOutcome:
        """Has the agent say a text; see `SteerableCall.say`."""
        return await self._call.say(text, interrupt=interrupt)

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False) -> SayOutcome:
        """Plays a WAV file to the caller; see `SteerableCall.play`."""
        return await self._call.play(file, text=text, interrupt=interrupt)

    def tell(self, fact: str, *, respond: bool = False) -> None:
        """Tells the model a fact; see `SteerableCall.tell`. A tool's result is told to the model anyway."""
        self._call.tell(fact, respond=respond)

    async def transfer(self, target: str) -> None:
        """Transfers the caller; see `SteerableCall.transfer`."""
        await self._call.transfer(target)

    def hang_up(self, goodbye: str = "") -> None:
        """Ends the call; see `SteerableCall.hang_up`. The tool goes on to its end."""
        self._call.hang_up(goodbye)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Changes variables of the call; see `SteerableCall.set_variables`."""
        self._call.set_variables(variables)

    async def set_language(self, language: str) -> None:
        """Switches the language of the call; see `SteerableCall.set_language`."""
        await self._call.set_language(language)

    def pause_recording(self) -> bool:
        """Has the call's recording be silent; see `SteerableCall.pause_recording`."""
        return self._call.pause_recording()

    def resume_recording(self) -> bool:
        """Has the call's recording go on; see `SteerableCall.resume_recording`."""
        return self._call.resume_recording()
