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
    """What a menu key does: one of these."""

    say: str | None = None
    """Says this."""
    transfer: str | None = None
    """Hands the caller to that number or extension."""
    hang_up: bool = False
    """Says goodbye and ends the call."""

    def __attrs_post_init__(self) -> None:
        if (self.say is not None) + (self.transfer is not None) + self.hang_up != 1:
            raise ValueError("a key does one thing: `say`, `transfer` or `hang_up: true`")


@frozen
class BargeInSettings:
    """When the caller's speech stops the reply."""

    enabled: bool = True
    """Whether it can at all."""
    min_speech_ms: int = field(default=160, validator=ge(20))
    """How long the caller must speak, in ms of audio."""
    min_words: int = field(default=0, validator=ge(0))
    """How many words the recogniser must have heard besides; 0: speech is enough."""
    protect_ms: int = field(default=0, validator=ge(0))
    """How much of a reply is heard before it can be interrupted, in ms."""
    resume_ms: int = field(default=1200, validator=ge(0))
    """Speech that brings no words within this time, in ms, was none: the reply goes on where it stopped. 0: it ends."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    """What doesn't interrupt, however often it is said in a row: the caller is only listening. When nothing is being
    said these are answers like any."""


@frozen
class EndpointingSettings:
    """How the words change the silence that ends the caller's turn."""

    complete_ms: int = field(default=400, validator=ge(100))
    """After a finished sentence, in ms, if that is less than `end_of_turn_ms`; recognisers that write no marks never
    tell."""
    unfinished_ms: int = field(default=1200, validator=ge(100))
    """After words that go on ("um", "and", "to the"), in ms, if that is more."""
    digits_ms: int = field(default=1500, validator=ge(100))
    """While a number is read out, a name spelled or an address dictated, in ms, if that is more."""


@frozen
class DtmfSettings:
    """What keys are for."""

    gap_ms: int = field(default=0, validator=ge(0))
    """How long to wait for the next key of a number, in ms; 0: each key is a number of its own."""
    end_key: str = field(default="#", validator=matches_re(r"[0-9*#A-D]?"))
    """Ends a number at once and is no part of it, if there is a `gap_ms`; empty: no key does."""


@frozen
class TurnsSettings:
    """How turns are taken."""

    end_of_turn_ms: int = field(default=600, validator=ge(100))
    """Silence that ends the caller's turn, in ms, unless the words tell more."""
    endpointing: EndpointingSettings = EndpointingSettings()
    """How the words change that."""
    preemptive: bool = False
    """Whether the model may begin a reply before the words are final: when the caller pauses, or when the recogniser
    guesses an end of the turn, if it does (`eager_eot_threshold`). The reply is thrown away if the words change; that
    saves time and costs requests."""
    hang_up_phrases: tuple[str, ...] = ()
    """What the caller may say to end the call, instead of an answer to it."""
    dtmf: DtmfSettings = DtmfSettings()
    """What keys are for."""
    barge_in: BargeInSettings = BargeInSettings()
    """When the caller's speech stops the reply."""
    echo_guard: bool = True
    """Whether what comes in is compared with what the agent says, so that the agent's own voice, come back over the
    line, is neither an interruption nor words."""


@frozen
class SpeechToTextBudgets:
    """What speech-to-text may take. What was said meanwhile is kept, and replayed to the next alternative."""

    connect_ms: int = field(default=3000, validator=ge(50))
    """Until a stream is open, in ms."""
    first_transcript_ms: int = field(default=1500, validator=ge(50))
    """Until the words are there for good, from when they were asked for at the end of the caller's turn, in ms."""


@frozen
class LanguageModelBudgets:
    """What the language model may take."""

    first_token_ms: int = field(default=4000, validator=ge(50))
    """Until the first word of a reply (or a tool call), connecting included, in ms."""
    gap_ms: int = field(default=3000, validator=ge(50))
    """Between two pieces of a reply, in ms."""


@frozen
class TextToSpeechBudgets:
    """What text-to-speech may take."""

    connect_ms: int = field(default=3000, validator=ge(50))
    """Until a stream is open, in ms."""
    first_audio_ms: int = field(default=2000, validator=ge(50))
    """Until the first audio of a text that was sent, in ms."""
    gap_ms: int = field(default=2000, validator=ge(50))
    """Between two pieces of speech while more is due, in ms; also what all waiting within a sentence may come to."""


@frozen
class BudgetsSettings:
    """How long components may take before something useful comes; then the next alternative gets its turn.

    If none is left, one that is being opened or tried again is waited for as long as connecting may take.
    """

    stt: SpeechToTextBudgets = SpeechToTextBudgets()
    """Speech-to-text."""
    llm: LanguageModelBudgets = LanguageModelBudgets()
    """The language model."""
    tts: TextToSpeechBudgets = TextToSpeechBudgets()
    """Text-to-speech."""


@frozen
class StreamingSettings:
    """How audio is streamed."""

    lead_ms: int = field(default=40, validator=ge(0))
    """How far ahead of real time speech is written, in ms. It can't be recalled, so it bounds barge-in."""


@frozen
class LimitsSettings:
    """What no call may exceed."""

    max_call_minutes: float = field(default=60.0, validator=gt(0))
    """How long a call may last; then `goodbye` is said and it ends."""
    idle_prompt_s: float = field(default=10.0, validator=gt(0))
    """Silence after which the language model is asked to say something (its trigger is `Silence`), in s."""
    idle_prompts: int = field(default=2, validator=ge(0))
    """How many of those in a row; after the next such silence, `goodbye` is said and the call ends."""
    no_audio_s: float = field(default=30.0, validator=gt(0))
    """How long the transport may deliver nothing at all before the call is given up, in s."""
    warning_s: float = field(default=0.0, validator=ge(0))
    """How long before the end of the longest call the caller is told, in s; 0: not at all."""
    warning: str = "We have to finish in a moment."
    """What is said then."""
    goodbye: str = "Goodbye."
    """What is said when a limit, or one of `hang_up_phrases`, ends the call."""


@frozen
class TransferTo:
    """Somebody else takes the call."""

    transfer: str
    """The number or extension; over AudioSocket the dialplan decides, and this is in the call's record."""


@frozen
class OnFailure:
    """What is done when a component fails, rung by rung: try it again, the next alternative, an apology, the end."""

    say: str = "I'm sorry, something went wrong."
    """The apology."""
    then: Literal["dialplan", "hang_up"] | TransferTo = "dialplan"
    """`dialplan`: back to the telephone system's own plan; `hang_up`; or `{transfer: ...}`."""
    retries: int = field(default=1, validator=ge(0))
    """How often a failed component is tried again, at once, before the next alternative: only if the failure was quick
    and may pass. One that used up its budget, or asked to be left alone, is not."""
    second_opinion_ms: int = field(default=400, validator=ge(0))
    """From how much voice on, in ms, a recogniser that returns no words is doubted: the next in its list is given the
    same audio, once, and the first has failed if that one finds words. 0: it is always believed."""
