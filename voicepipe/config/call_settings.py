"""Settings of a call: the sections `turns`, `keys`, `budgets`, `streaming`, `limits` and `on_failure`.

A field's name, type, default, validator and docstring are the key's documentation: the tables in
docs/reference/configuration.md and the JSON Schema are made from them. These classes are read from YAML elsewhere, and
this module imports nothing of that, so that the rules of a call can be imported without it.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, matches_re

from voicepipe.text.backchannel_phrases import BACKCHANNELS


@frozen
class KeyAction:
    """The action of a menu key: exactly one of these."""

    say: str | None = None
    """The text to say."""
    transfer: str | None = None
    """The number or extension to transfer the caller to."""
    hang_up: bool = False
    """Whether to say `limits.goodbye` and end the call."""

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
    """How many words must have been recognised as well; 0: speech alone stops a reply."""
    protect_ms: int = field(default=0, validator=ge(0))
    """How much of a reply the caller hears before speech can stop it, in ms."""
    resume_ms: int = field(default=1200, validator=ge(0))
    """How long to wait for words after speech has stopped a reply, in ms; if none come, the reply goes on where it
    stopped. 0: speech ends the reply for good."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    """Words that don't interrupt a reply, however often they are repeated, because they only show that the caller
    listens. While the agent is silent they are answers like any other words."""


@frozen
class EndpointingSettings:
    """Endpointing: how the caller's words change the silence that ends a turn."""

    complete_ms: int = field(default=400, validator=ge(100))
    """Silence after a finished sentence, in ms, if that is less than `end_of_turn_ms`. It applies only if the
    recogniser writes full stops."""
    unfinished_ms: int = field(default=1200, validator=ge(100))
    """Silence after words that go on ("um", "and", "to the"), in ms, if that is more than `end_of_turn_ms`."""
    digits_ms: int = field(default=1500, validator=ge(100))
    """Silence while a number is read out, a name spelled or an address dictated, in ms, if that is more than
    `end_of_turn_ms`."""


@frozen
class DtmfSettings:
    """Keys that the caller presses: one by one, or as numbers."""

    gap_ms: int = field(default=0, validator=ge(0))
    """How long to wait for the next key of a number, in ms; 0: each key is a number of its own."""
    end_key: str = field(default="#", validator=matches_re(r"[0-9*#A-D]?"))
    """The key that ends a number at once, if `gap_ms` is set, and is not part of it; empty: no key does."""


@frozen
class TurnsSettings:
    """Turn-taking: when the caller's turn ends, and what stops a reply."""

    end_of_turn_ms: int = field(default=600, validator=ge(100))
    """Silence that ends the caller's turn, in ms, unless `endpointing` has another value for the caller's words."""
    endpointing: EndpointingSettings = EndpointingSettings()
    """How the caller's words change that silence."""
    preemptive: bool = False
    """Whether the model begins a reply before the caller's words are final: when the caller pauses, or when the
    recogniser predicts the end of the turn (`eager_eot_threshold`). If the words change, the reply is discarded:
    replies come sooner, and more requests are made."""
    hang_up_phrases: tuple[str, ...] = ()
    """Phrases with which the caller ends the call: the answer is `limits.goodbye`, and the model is not asked."""
    dtmf: DtmfSettings = DtmfSettings()
    """How keys that the caller presses are combined into numbers."""
    barge_in: BargeInSettings = BargeInSettings()
    """When the caller's speech stops a reply."""
    echo_guard: bool = True
    """Whether incoming audio is compared with the agent's speech, so that an echo of the agent's voice on the line is
    taken neither for an interruption nor for words."""


@frozen
class SpeechToTextBudgets:
    """Time limits of speech-to-text. The caller's audio is kept meanwhile, and replayed to the next alternative."""

    connect_ms: int = field(default=3000, validator=ge(50))
    """Time until a stream is open, in ms."""
    first_transcript_ms: int = field(default=1500, validator=ge(50))
    """Time until the final transcript that is requested at the end of the caller's turn, in ms."""


@frozen
class LanguageModelBudgets:
    """Time limits of the language model."""

    first_token_ms: int = field(default=4000, validator=ge(50))
    """Time until the first word of a reply, or a tool call, connecting included, in ms."""
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
    """Time between two pieces of speech while more is due, in ms; also the limit of all pauses within one sentence
    together."""


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
    """How far ahead of real time speech is written, in ms, on a transport that takes it in real time, such as
    AudioSocket. Speech that has been written is heard even if the caller interrupts it."""
    ahead_ms: int = field(default=3000, validator=and_(ge(200), le(15_000)))
    """How far ahead of what the caller has heard speech is written, in ms, on a transport that buffers it. An
    interruption clears the buffer, so it takes effect at once; the more is buffered, the longer the caller hears speech
    while this engine or the network is held up."""


@frozen
class LimitsSettings:
    """Limits of every call, and the texts that are said when they are reached."""

    max_call_minutes: float = field(default=60.0, validator=gt(0))
    """How long a call may last, in minutes; then `goodbye` is said and the call ends."""
    idle_prompt_s: float = field(default=10.0, validator=gt(0))
    """Silence after which the language model is asked to say something (its trigger is `Silence`), in s."""
    idle_prompts: int = field(default=2, validator=ge(0))
    """How many of these prompts may follow each other; after the next silence, `goodbye` is said and the call ends."""
    no_audio_s: float = field(default=30.0, validator=gt(0))
    """How long the transport may deliver no audio at all before the call ends, in s."""
    first_words_s: float = field(default=4.0, validator=gt(0))
    """How long the caller has to speak first, with `speaks_first: caller`, in s; then the agent does."""
    transfer_s: float = field(default=60.0, validator=gt(0))
    """How long a transfer may take until somebody takes it, in s; then the caller is back with the agent. Over
    AudioSocket it is the dialplan that transfers, and this does not apply."""
    warning_s: float = field(default=0.0, validator=ge(0))
    """How long before the end of `max_call_minutes` the `warning` is said, in s; 0: never."""
    warning: str = "We have to finish in a moment."
    """The text that is said `warning_s` before `max_call_minutes` are over."""
    goodbye: str = "Goodbye."
    """The text that is said when a limit, or one of `hang_up_phrases`, ends the call."""


@frozen
class TransferTo:
    """A transfer of the caller to another number."""

    transfer: str
    """The number or extension. Over AudioSocket the dialplan decides where the call goes, and this is in its record."""


@frozen
class OnFailure:
    """The steps after a component has failed: a retry, the next alternative, an apology, the end of the call."""

    say: str = "I'm sorry, something went wrong."
    """The apology: the text that is said when a role has no alternative left."""
    then: Literal["dialplan", "hang_up"] | TransferTo = "dialplan"
    """How the call ends after the apology: `dialplan` returns it to the telephone system's dialplan, `hang_up` hangs
    up, and `{transfer: ...}` transfers the caller."""
    retries: int = field(default=1, validator=ge(0))
    """How often a failed component is retried, without a pause, before the next alternative. Only failures that came
    quickly and may pass are retried, not those that used up a time limit or asked for a wait."""
    second_opinion_ms: int = field(default=400, validator=ge(0))
    """How much voice, in ms, must have been heard for an empty transcript to be doubted: the next recogniser in the
    list is then given the same audio once, and if it finds words, the first one has failed. 0: never."""
