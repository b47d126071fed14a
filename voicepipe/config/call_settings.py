"""Settings of a call: the sections `turns`, `keys`, `budgets`, `streaming`, `limits` and `on_failure`.

A field's name, type, default, validator and docstring are the key's documentation: the tables in
docs/reference/configuration.md and the JSON Schema are made from them. These classes are read from YAML elsewhere, and
this module imports nothing of that, so that the rules of a call can be imported without it.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, gt, matches_re

from voicepipe.text.backchannel_phrases import BACKCHANNELS


@frozen
class KeyAction:
    """The action of a menu key: exactly one of these."""

    say: str | None = None
    """A text that is said."""
    transfer: str | None = None
    """A number or extension that the caller is transferred to."""
    hang_up: bool = False
    """Whether `limits.goodbye` is said and the call ended."""

    def __attrs_post_init__(self) -> None:
        if (self.say is not None) + (self.transfer is not None) + self.hang_up != 1:
            raise ValueError("a key does one thing: `say`, `transfer` or `hang_up: true`")


@frozen
class BargeInSettings:
    """Barge-in: when the caller's speech stops a reply."""

    enabled: bool = True
    """Whether speech can stop a reply at all."""
    min_speech_ms: int = field(default=160, validator=ge(20))
    """How long the caller must speak to stop a reply, in ms of audio."""
    min_words: int = field(default=0, validator=ge(0))
    """How many words must have been recognised besides; 0: speech is enough."""
    protect_ms: int = field(default=0, validator=ge(0))
    """How much of a reply is heard before speech can stop it, in ms."""
    resume_ms: int = field(default=1200, validator=ge(0))
    """How long words are waited for when speech has stopped a reply, in ms; if none come, the reply goes on where it
    stopped. 0: speech ends the reply for good."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    """Words that don't interrupt a reply, however often they are said in a row: they only show that the caller listens.
    While nothing is being said they are answers like any other."""


@frozen
class EndpointingSettings:
    """Endpointing: how the caller's words change the silence that ends a turn."""

    complete_ms: int = field(default=400, validator=ge(100))
    """Silence after a finished sentence, in ms, if that is less than `end_of_turn_ms`. It needs a recogniser that
    writes full stops."""
    unfinished_ms: int = field(default=1200, validator=ge(100))
    """Silence after words that go on ("um", "and", "to the"), in ms, if that is more than `end_of_turn_ms`."""
    digits_ms: int = field(default=1500, validator=ge(100))
    """Silence while a number is read out, a name spelled or an address dictated, in ms, if that is more than
    `end_of_turn_ms`."""


@frozen
class DtmfSettings:
    """Keys that the caller presses: one by one, or as numbers."""

    gap_ms: int = field(default=0, validator=ge(0))
    """How long the next key of a number is waited for, in ms; 0: each key is a number of its own."""
    end_key: str = field(default="#", validator=matches_re(r"[0-9*#A-D]?"))
    """The key that ends a number at once and is no part of it, with a `gap_ms`; empty: no key does."""


@frozen
class TurnsSettings:
    """Turn-taking: when the caller's turn ends, and what stops a reply."""

    end_of_turn_ms: int = field(default=600, validator=ge(100))
    """Silence that ends the caller's turn, in ms, unless `endpointing` has another for the words."""
    endpointing: EndpointingSettings = EndpointingSettings()
    """How the words change that silence."""
    preemptive: bool = False
    """Whether the model begins a reply before the words are final: when the caller pauses, or when the recogniser
    guesses an end of the turn, if it does so (`eager_eot_threshold`). The reply is thrown away if the words change:
    that saves time and costs requests."""
    hang_up_phrases: tuple[str, ...] = ()
    """Phrases by which the caller ends the call: they are answered with `limits.goodbye`, not by the model."""
    dtmf: DtmfSettings = DtmfSettings()
    """Whether keys are taken one by one or as numbers."""
    barge_in: BargeInSettings = BargeInSettings()
    """When the caller's speech stops a reply."""
    echo_guard: bool = True
    """Whether the audio that comes in is compared with what the agent says, so that the agent's own voice, coming back
    over the line, is neither an interruption nor words."""


@frozen
class SpeechToTextBudgets:
    """Time limits of speech-to-text. What is said meanwhile is kept, and replayed to the next alternative."""

    connect_ms: int = field(default=3000, validator=ge(50))
    """Time until a stream is open, in ms."""
    first_transcript_ms: int = field(default=1500, validator=ge(50))
    """Time until a final transcript comes that was asked for at the end of the caller's turn, in ms."""


@frozen
class LanguageModelBudgets:
    """Time limits of the language model."""

    first_token_ms: int = field(default=4000, validator=ge(50))
    """Time until the first word of a reply (or a tool call), connecting included, in ms."""
    gap_ms: int = field(default=3000, validator=ge(50))
    """Time between two pieces of a reply, in ms."""


@frozen
class TextToSpeechBudgets:
    """Time limits of text-to-speech."""

    connect_ms: int = field(default=3000, validator=ge(50))
    """Time until a stream is open, in ms."""
    first_audio_ms: int = field(default=2000, validator=ge(50))
    """Time until the first audio of a text that was sent, in ms."""
    gap_ms: int = field(default=2000, validator=ge(50))
    """Time between two pieces of speech while more is due, in ms; also the most that all pauses within a sentence may
    come to."""


@frozen
class BudgetsSettings:
    """How long a component may take before something useful comes; then the next alternative is asked.

    If none is left, a component that is being opened or tried again is waited for as long as connecting may take.
    """

    stt: SpeechToTextBudgets = SpeechToTextBudgets()
    """Time limits of speech-to-text."""
    llm: LanguageModelBudgets = LanguageModelBudgets()
    """Time limits of the language model."""
    tts: TextToSpeechBudgets = TextToSpeechBudgets()
    """Time limits of text-to-speech."""


@frozen
class StreamingSettings:
    """How speech is written to the line."""

    lead_ms: int = field(default=40, validator=ge(0))
    """How far ahead of real time speech is written, in ms. What is written is heard, whatever interrupts it."""


@frozen
class LimitsSettings:
    """Limits of every call, and what is said at them."""

    max_call_minutes: float = field(default=60.0, validator=gt(0))
    """How long a call may last; then `goodbye` is said and it ends."""
    idle_prompt_s: float = field(default=10.0, validator=gt(0))
    """Silence after which the language model is asked to say something (its trigger is `Silence`), in s."""
    idle_prompts: int = field(default=2, validator=ge(0))
    """How many such prompts in a row; after the next silence, `goodbye` is said and the call ends."""
    no_audio_s: float = field(default=30.0, validator=gt(0))
    """How long the transport may deliver no audio at all before the call is ended, in s."""
    warning_s: float = field(default=0.0, validator=ge(0))
    """How long before `max_call_minutes` are over `warning` is said, in s; 0: it is not said."""
    warning: str = "We have to finish in a moment."
    """The text that is said `warning_s` before the end of the longest call."""
    goodbye: str = "Goodbye."
    """The text that is said when a limit, or one of `hang_up_phrases`, ends the call."""


@frozen
class TransferTo:
    """A transfer: somebody else takes the call."""

    transfer: str
    """The number or extension. Over AudioSocket the dialplan decides where the call goes, and this is in its record."""


@frozen
class OnFailure:
    """What follows a component's failure, in this order: a retry, the next alternative, an apology, the call's end."""

    say: str = "I'm sorry, something went wrong."
    """The apology: the text that is said when a role has no alternative left."""
    then: Literal["dialplan", "hang_up"] | TransferTo = "dialplan"
    """How the call ends then. `dialplan`: it goes back to the telephone system's dialplan; `hang_up`; or
    `{transfer: ...}`."""
    retries: int = field(default=1, validator=ge(0))
    """How often a failed component is tried again, at once, before the next alternative. Only a failure that was quick
    and may pass is tried again, none that used up its budget or asked for a wait."""
    second_opinion_ms: int = field(default=400, validator=ge(0))
    """From how much voice on, in ms, a recogniser that returns no words is doubted: the next in its list is given the
    same audio, once, and the first has failed if that one finds words. 0: it is always believed."""
