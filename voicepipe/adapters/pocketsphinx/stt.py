"""Speech-to-text with PocketSphinx, which brings its US English model: small grammars, another for each question.

Recognition runs in worker processes, each with some of the calls: see `worker`. Only what a state of the conversation
expects (`Listen.grammar`, `Listen.phrases`) is recognised in it, without the words that the dictionary lacks. Where
nothing is expected, the phrases and the grammar of the options are recognised; without those it is dictation, which
costs most of a processor for each call and is wrong more often than right.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen
from attrs.validators import ge, le, optional

from voicepipe.adapters.pocketsphinx import worker as pocketsphinx_worker
from voicepipe.adapters.pocketsphinx.dictionary import Dictionary, problems_of, read_dictionary
from voicepipe.adapters.pocketsphinx.grammar import Grammar, GrammarAlternatives, GrammarSequence, GrammarWord
from voicepipe.adapters.pocketsphinx.grammar_parser import GrammarError, parse_grammar
from voicepipe.adapters.pocketsphinx.grammar_writer import write_grammar
from voicepipe.adapters.shared.recogniser_workers import RecogniserStream, RecogniserWorker
from voicepipe.audio import AudioFormat
from voicepipe.components.distribution import install_hint
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import File
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.process import open_kept_helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.components.protocols import Resources

INPUT = StreamInput(AudioFormat(pocketsphinx_worker.RATE), chunk_ms=100)
"""The audio that the model needs, whatever the call's rate."""

MOST_BYTES = INPUT.format.bytes_in(1000)
"""The most audio in a message to a worker, in bytes: no stream waits long for another."""

PHRASES = "the phrases"
"""The name of the rule that is made of the phrases; a grammar can't have it, because of the space."""

REFUSED = "PocketSphinx can't work with what it was given"
HINT = "what it was given are the options `phrases`, `grammar` and `dictionary`"
"""The message and the hint for a worker that can't begin, or that ends by itself."""

GRAMMARS_KEPT = 512
"""The number of latest grammars that are kept in the form for workers; each state of a conversation has one."""


@frozen
class PocketsphinxOptions:
    """The phrases to recognise when the conversation expects none of its own."""

    phrases: tuple[str, ...] = ()
    """Words and phrases to recognise where the conversation expects none of its own: `[yes, no, operator]`."""
    grammar: File | None = None
    """A grammar in JSGF to recognise there too: any of its public rules may be said."""
    dictionary: File | None = None
    """More words than the 135,000 of CMUdict: lines of a word and its phones, `acme AE K M IY`."""
    words: bool = False
    """Whether transcripts have the time and the confidence of each word."""
    strictness: float = field(default=1.0, validator=[ge(0), le(2)])
    """The strictness against other speech and noise; a higher one rejects more of the phrases too. 0: any sound is
    taken for the likeliest phrase. Without effect on dictation."""
    workers: int | None = field(default=None, validator=optional([ge(1), le(64)]))
    """The number of worker processes, which share the calls; None: one for every two processors."""


class _Installed:
    """The directories of the library and its model, found without loading it."""

    def __init__(self) -> None:
        spec = find_spec("pocketsphinx")
        if spec is None or spec.origin is None:
            raise ComponentError(
                "the library pocketsphinx is not installed",
                retryable=False,
                hint=install_hint("pocketsphinx"),
            )
        package = Path(spec.origin).parent
        self.site, self.model = package.parent, package / "model/en-us"

    def dictionary(self, options: PocketsphinxOptions) -> Dictionary:
        """Reads the model's dictionary, and adds the words of the options."""
        added = options.dictionary.content if options.dictionary else b""
        return read_dictionary(self.model / "cmudict-en-us.dict", added)


def check_installed() -> Iterator[Problem]:
    """Gives a problem if the library is not installed."""
    try:
        _Installed()
    except ComponentError as error:
        yield Problem(Location(""), "", error.message, error.hint)


def check_grammar(options: PocketsphinxOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, each mistake in the grammar, and each word without a pronunciation."""
    yield from check_installed()
    try:
        installed = _Installed()
    except ComponentError:
        return
    if options.dictionary is not None:
        for problem in problems_of(options.dictionary.content):
            where = Location(options.dictionary.name, problem.line, problem.column)
            yield Problem(where, "", problem.message, problem.hint)
    dictionary = installed.dictionary(options)
    for phrase in options.phrases:
        for word in dictionary.unknown(phrase):
            yield Problem(Location(""), "phrases", f"the dictionary has no word {word!r}", _hint(dictionary, word))
    if options.grammar is None:
        return
    try:
        grammar = _parse(options.grammar)
    except GrammarError as error:
        hint = "a grammar in JSGF is made of lines like: public <answer> = yes | no [thank you];"
        yield Problem(Location(options.grammar.name, error.line, error.column), "", error.message, hint)
        return
    for grammar_word in grammar.words():
        for word in dictionary.unknown(grammar_word.text):
            where = Location(options.grammar.name, grammar_word.line, grammar_word.column)
            yield Problem(where, "", f"the dictionary has no word {word!r}", _hint(dictionary, word))


def _hint(dictionary: Dictionary, word: str) -> str:
    similar = dictionary.similar(word)
    suggestion = f"did you mean {', '.join(similar)}? If not, " if similar else ""
    return f"{suggestion}say how it is spoken in a file that `dictionary` names"


def _parse(file: File) -> Grammar:
    return parse_grammar(file.content.decode(errors="replace"))


class _Expectations:
    """Makes the payloads of OPEN and LISTEN; used in threads, since grammars may be long."""

    def __init__(self, options: PocketsphinxOptions, dictionary: Dictionary) -> None:
        self._dictionary, self._strictness = dictionary, options.strictness
        self.default = self._payload(options.phrases, _parse(options.grammar) if options.grammar else None)
        """The payload where the conversation expects nothing; empty: dictation."""
        self.payload_for = lru_cache(GRAMMARS_KEPT)(self._payload_for)

    def _payload_for(self, listen: Listen) -> bytes:
        """Makes the payload for what the conversation expects.

        Raises:
            ComponentError: the expected grammar is not valid.

        """
        try:
            grammar = parse_grammar(listen.grammar) if listen.grammar else None
        except GrammarError as error:
            message = f"the grammar that the conversation expects is not valid: {error}"
            raise ComponentError(message, retryable=False, fault="request") from error
        return self._payload(listen.phrases, grammar) or self.default

    def _payload(self, phrases: tuple[str, ...], grammar: Grammar | None) -> bytes:
        spelled = dict.fromkeys(words for phrase in phrases if (words := self._dictionary.spell(phrase)))
        alternatives = [GrammarSequence(tuple(map(GrammarWord, words))) for words in spelled]
        rules = {**(grammar.rules if grammar else {}), PHRASES: GrammarAlternatives(tuple(alternatives))}
        used: dict[str, None] = {}

        def spell(word: str) -> tuple[str, ...]:
            words = self._dictionary.spell(word)
            used.update(dict.fromkeys(words))
            return words

        text = write_grammar(Grammar(rules, (*(grammar.public if grammar else ()), PHRASES)), spell)
        if text is None:
            return b""
        pronounced = [
            (word if variant == 1 else f"{word}({variant})", phones)
            for word in used
            for variant, phones in enumerate(self._dictionary.pronunciations(word), 1)
        ]
        return json.dumps({"grammar": text, "words": pronounced, "strictness": self._strictness}).encode()


class _PocketSphinx:
    """The workers, shared by all calls."""

    def __init__(
        self,
        workers: list[RecogniserWorker],
        expectations: _Expectations,
        words: bool,
        threads: trio.CapacityLimiter,
    ) -> None:
        self._workers, self._expectations, self._words, self._threads = workers, expectations, words, threads
        self._numbers = count(1)

    def input_for(self, call: AudioFormat) -> StreamInput:  # noqa: ARG002 - the Protocol's
        """Returns 16 kHz, whatever the call's format."""
        return INPUT

    @asynccontextmanager
    async def open_stream(
        self,
        stream_input: StreamInput,  # noqa: ARG002 - there is only one
        listen: Listen,
    ) -> AsyncIterator[RecogniserStream]:
        """Opens a stream in the worker that has the fewest."""
        payload = await self._payload_for(listen)
        worker = min(self._workers, key=lambda worker: worker.load)
        await worker.wait_ready()
        number = next(self._numbers)
        stream = RecogniserStream(worker, number, self._payload_for, most_bytes=MOST_BYTES, words=self._words)
        worker.open(stream)
        try:
            await stream.begin(payload)
            yield stream
        finally:
            worker.close(stream)

    async def _payload_for(self, listen: Listen) -> bytes:
        """Makes a payload in a thread."""
        return await trio.to_thread.run_sync(self._expectations.payload_for, listen, limiter=self._threads)


def _prepare(options: PocketsphinxOptions, component: str) -> tuple[list[str], _Expectations]:
    """Returns the command of a worker and its payloads; `component` is the last argument, for a reader of `ps`.

    Raises:
        ComponentError: the library is not installed, or the grammar is not valid.

    """
    installed = _Installed()
    try:
        expectations = _Expectations(options, installed.dictionary(options))
    except GrammarError as error:
        raise ComponentError(
            f"{options.grammar} is no grammar: {error}", retryable=False, hint="`voicepipe check` shows the place"
        ) from error
    # -I: no environment, and no modules of the script's own directory, such as `openai`.
    python = (sys.executable, "-I", pocketsphinx_worker.__file__)
    return [*python, str(installed.site), str(installed.model), component], expectations


@asynccontextmanager
async def open_pocketsphinx(options: PocketsphinxOptions, resources: Resources) -> AsyncIterator[_PocketSphinx]:
    """Starts the workers; the context ends with a `ComponentError` if one dies and can't be started again."""
    threads = resources.threads
    command, expectations = await trio.to_thread.run_sync(_prepare, options, resources.component, limiter=threads)
    number = options.workers or max(1, (os.cpu_count() or 1) // 2)
    workers = [RecogniserWorker("PocketSphinx", REFUSED, expectations.default, hint=HINT) for _ in range(number)]
    async with open_kept_helpers(command, workers, hint=HINT):
        yield _PocketSphinx(workers, expectations, options.words, threads)


stt = Adapter(
    name="pocketsphinx",
    role="stt",
    options=PocketsphinxOptions,
    open=open_pocketsphinx,
    check=check_grammar,
    check_installed=check_installed,
    model=lambda _options: "en-us",
)
