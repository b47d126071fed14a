"""Options of Deepgram's speech-to-text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, fields, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe.adapters.deepgram.client import check_endpoint
from voicepipe.adapters.deepgram.transcript_assembler import MOST_KEYTERM_CHARS, MOST_KEYTERMS, keyterms
from voicepipe.components.requests import Listen
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class DeepgramSttOptions:
    """An account, a model, and how it listens."""

    api_key: Secret
    """The API key, from console.deepgram.com."""
    model: str = field(default="nova-3", validator=min_len(1))
    """The model: `nova-3`, `nova-2-phonecall`, ...; with `flux-general-en` or `flux-general-multi` the recogniser
    decides when the caller's turn is over."""
    language: str | None = None
    """The caller's language: `en`, `de`, `multi` (nova-3); with `flux-general-multi` a hint. Left out: the model's."""
    keyterms: tuple[str, ...] = ()
    """Names and words to listen for, as they are written; what a script expects next is added. With models older than
    nova-3 they are keywords, one word each, and nothing is added."""
    interim_results: bool = True
    """Nova: whether text is given while the caller still speaks."""
    endpointing_ms: int = field(default=300, validator=[ge(0), le(5000)])
    """Nova: silence after which what was said is final, in ms; 0: only when the call asks for it."""
    utterance_end_ms: int | None = field(default=None, validator=optional([ge(1000), le(5000)]))
    """Nova: gap between words after which the utterance is over, in ms: finds an end in background noise too."""
    ends_turns: bool = False
    """Nova: whether the two above end the caller's turn at once; if not, `turns.end_of_turn_ms` does."""
    eot_threshold: float | None = field(default=None, validator=optional([ge(0.5), le(1.0)]))
    """Flux: how sure it must be that the turn is over, 0.5 to 1; 1 leaves it to the call. Left out: 0.7."""
    eager_eot_threshold: float | None = field(default=None, validator=optional([ge(0.3), le(0.9)]))
    """Flux: how sure it must be for a first guess, 0.3 to 0.9, at which `turns.preemptive` begins a reply. Left out: it
    does not guess."""
    eot_timeout_ms: int | None = field(default=None, validator=optional([ge(500), le(60_000)]))
    """Flux: silence that ends the turn in any case, in ms. Left out: 5000."""
    punctuate: bool = True
    """Nova: whether the text has punctuation and capitals; Flux's always has."""
    smart_format: bool = False
    """Nova: whether dates, amounts, telephone numbers and the like are written as such; costs some delay."""
    numerals: bool = False
    """Whether numbers are written in digits."""
    mip_opt_out: bool = False
    """Whether Deepgram is forbidden to improve its models with what callers say; changes the price."""
    base_url: str = "https://api.deepgram.com"
    """Where Deepgram is: another region, or a server of your own."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    connect_timeout_s: float = field(default=5.0, validator=[gt(0), le(60)])
    """How long a connection may take, in s; a connection that breaks is opened again within that time."""
    timeout_s: float = field(default=10.0, validator=[gt(0), le(120)])
    """How long nothing may come although something is due, in s."""
    keep_alive_s: float = field(default=4.0, validator=[gt(0), le(9)])
    """How long nothing may be sent, in s; Deepgram hangs up after 10."""


_OF_NOVA = ("interim_results", "endpointing_ms", "utterance_end_ms", "ends_turns", "punctuate", "smart_format")


_OF_FLUX = ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms")


def is_flux(model: str) -> bool:
    """Whether a model speaks listen v2."""
    return model.startswith("flux-")


def check_options(options: DeepgramSttOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, and for options that exclude each other."""
    yield from check_endpoint(options.base_url, options.api_key)
    flux = is_flux(options.model)
    for name in _OF_NOVA if flux else _OF_FLUX:
        if getattr(options, name) != getattr(fields(DeepgramSttOptions), name).default:
            other = "nova-3" if flux else "flux-general-en or flux-general-multi"
            yield _problem(name, f"{options.model} does not have that option", f"models that have it: {other}")
    if flux and options.language is not None and not options.model.endswith("-multi"):
        yield _problem("language", f"{options.model} takes no language", "flux-general-multi takes a hint")
    if options.utterance_end_ms is not None and not options.interim_results:
        yield _problem("utterance_end_ms", "needs interim_results", "leave interim_results out")
    if options.ends_turns and not options.endpointing_ms and options.utterance_end_ms is None:
        yield _problem("ends_turns", "there is nothing to end turns by", "set endpointing_ms or utterance_end_ms")
    if options.eager_eot_threshold is not None and options.eager_eot_threshold > (options.eot_threshold or 0.7):
        yield _problem("eager_eot_threshold", "is above eot_threshold", "a first guess needs less certainty")
    if len(keyterms(options.keyterms, Listen())) < len({" ".join(term.split()) for term in options.keyterms}):
        limit = f"{MOST_KEYTERMS} terms with {MOST_KEYTERM_CHARS} characters in all"
        yield _problem("keyterms", "are too many, or one is empty", f"at most {limit}")


def _problem(option: str, message: str, hint: str) -> Problem:
    return Problem(Location(""), option, message, hint)
