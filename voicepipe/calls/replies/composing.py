"""Composing: the text of a reply from the language model, or from the next one when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, evolve, field

from voicepipe.calls.failover import BudgetExceeded, FailoverList
from voicepipe.calls.history import chars_of, latest, shorter
from voicepipe.calls.replies.continuing import Continuation
from voicepipe.calls.replies.model_requests import ModelRequest, ModelRequests
from voicepipe.calls.replies.reply_text import Segment
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import Silence, Told, ToolCall, ToolResults
from voicepipe.config.call_settings import LanguageModelBudgets
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import forget_cancellation
from voicepipe.pipelines.snapshot import OpenedLanguageModel
from voicepipe.text.segmenting import Segmenter
from voicepipe.text.spoken.settings import SpeechSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.calls.failover import Attempts
    from voicepipe.calls.replies.reply_text import ReplyText
    from voicepipe.calls.usage import StreamUsage
    from voicepipe.components.protocols import ReplyStream
    from voicepipe.components.requests import ReplyRequest
    from voicepipe.text.spoken.wording import Wording


@define(eq=False)
class Composer:
    """Writes the text of a call's replies."""

    models: FailoverList[OpenedLanguageModel]
    """The language models, in failover order."""
    states: Mapping[str, Any]
    """The last `ReplyDone.state` of each model, by its key."""
    fits: dict[str, int]
    """The most characters of the conversation that a model takes, by its key; added when a model has refused more."""
    budgets: LanguageModelBudgets
    """The time that a model may take."""
    speech: SpeechSettings
    """The settings by which text is cut into segments and signs are put into words; changes with the language
    of the call, for the next reply."""
    requests: ModelRequests = field(factory=ModelRequests)
    """Reports the requests to models."""

    def announce(self, text: ReplyText) -> None:
        """Writes the announcement, all at once."""
        text.add(_segments([text.announcement], self._new_wording()))
        text.end()

    async def compose(self, text: ReplyText, request: ReplyRequest) -> None:
        """Writes the model's reply as it comes, segment by segment, and ends the text.

        A model that fails before anything was said is replaced without a trace. After that the next one goes on from
        the words that were said, and its repetitions of them are left out.

        A model that succeeds without a word has failed, if the caller waits for words. Where that is not known (the
        reply that called the tools has said something, or nobody spoke), and where all of the text is such that
        nothing of it is spoken (code, an emoji), the model is asked once more, and may stay silent.

        If no model is left, `text.failure` has the error; earlier words stay said.

        Args:
            text: gets the segments, the tool calls and the model's own end.
            request: the request; each model gets its own state in it.

        """
        failure = None
        try:
            with forget_cancellation():
                await _Composition(self, text, request, self._new_wording()).run()
        except ComponentError as error:
            failure = without_frames(error)
        try:
            text.end(failure)
        finally:
            del failure

    def _new_wording(self) -> Wording:
        # 20 ms of imports: a pipeline that opens has done them already.
        from voicepipe.text.spoken.wording import Wording  # noqa: PLC0415

        return Wording(self.speech)


class _Composition:
    """The composing of one reply."""

    def __init__(self, composer: Composer, text: ReplyText, request: ReplyRequest, wording: Wording) -> None:
        self._composer, self._text, self._request, self._wording = composer, text, request, wording

    async def run(self) -> None:
        """Asks models until one has given a reply.

        Raises:
            ComponentError: no model is left.

        """
        composer = self._composer
        asked_again = False
        with await composer.models.begin(composer.budgets.first_token_ms) as attempts:
            while True:
                try:
                    says = await self._ask_what_fits(attempts)
                    if not says and not asked_again:
                        asked_again = True
                        continue
                except ComponentError as error:
                    await attempts.failed(error)
                else:
                    attempts.succeeded()
                    return

    async def _ask_what_fits(self, attempts: Attempts[OpenedLanguageModel]) -> bool:
        """Asks the current model; if the conversation is too long for it, with the latest part that it takes.

        Returns:
            What `_ask` returns.

        Raises:
            ComponentError: from `_ask`; or the last turn alone is too long for the model.

        """
        model, fits, request = attempts.current, self._composer.fits, self._request
        key = model.settings.key
        if key in fits:
            request = evolve(request, messages=latest(request.messages, request.trigger, max_chars=fits[key]))
        for shortenings in count():
            try:
                state = self._composer.states.get(key)
                with self._composer.requests.begin(model.label) as asked:
                    asking = evolve(request, state=state, said=self._text.text, trace=asked.span)
                    says = await self._ask(attempts, asking, asked)
            except ComponentError as error:
                less = shorter(request, shortenings) if error.too_long else None
                if less is None:
                    raise
                attempts.tell_again(error)
                request = less
            else:
                if shortenings:
                    fits[key] = sum(map(chars_of, request.messages))
                return says
        raise AssertionError  # `count` never ends

    async def _ask(self, attempts: Attempts[OpenedLanguageModel], request: ReplyRequest, asked: ModelRequest) -> bool:
        """Writes one model's reply, or what is missing of the reply after `request.said`.

        Returns:
            Whether the reply, as far as it is written, has anything to be spoken, or tool calls.

        Raises:
            ComponentError: the model failed, took too long, or said nothing although words were due.

        """
        model, usage = attempts.current, attempts.begin_stream()
        text, budgets, speech = self._text, self._composer.budgets, self._composer.speech
        # What goes on after something that was said is not the first segment any more, which may be a mere clause.
        first_chars = 0 if request.said else speech.first_segment_chars
        segmenter = Segmenter(first_chars, speech.max_segment_chars, speech.language)
        continuation = Continuation(request.said)
        tool_calls: list[ToolCall] = []
        done: ReplyDone | None = None
        words = False
        with trio.CancelScope(deadline=trio.current_time() + budgets.first_token_ms / 1000) as scope:
            async with model.component.respond(request) as stream:
                while done is None:
                    event = await _next(stream, model, usage, asked)
                    if isinstance(event, TextDelta):
                        words = words or bool(event.text.strip())
                        self._write(segmenter.feed(continuation.feed(event.text)))
                    elif isinstance(event, ToolCall):
                        tool_calls.append(event)
                    elif isinstance(event, ReplyDone):
                        done = event
                        asked.finish_reason = done.reason
                        # Written before the stream is left, which may take a moment: the voice can begin.
                        self._write(segmenter.feed(continuation.finish()) + segmenter.finish())
                    if words or tool_calls:
                        asked.note_token()
                        if text.first_token_at is None:
                            text.first_token_at = trio.current_time()
                        scope.deadline = trio.current_time() + budgets.gap_ms / 1000
                scope.deadline = inf
        if done is None:
            raise self._late(model, words=words)
        says = words or bool(tool_calls or request.said)
        if not says and _owes_words(request):
            raise _failure(model, "succeeded, but said nothing")
        text.tool_calls, text.done, text.model = tool_calls, done, model.settings.key
        return bool(tool_calls or text.segments)

    def _write(self, pieces: list[str]) -> None:
        self._text.add(_segments(pieces, self._wording))

    def _late(self, model: OpenedLanguageModel, *, words: bool) -> BudgetExceeded:
        budgets = self._composer.budgets
        if words:
            return BudgetExceeded.of(
                model.ref, f"sent nothing for {budgets.gap_ms} ms in mid-reply", "budgets.llm.gap_ms"
            )
        late = f"sent no word or tool call within {budgets.first_token_ms} ms"
        return BudgetExceeded.of(model.ref, late, "budgets.llm.first_token_ms")


def _segments(pieces: Iterable[str], wording: Wording) -> list[Segment]:
    """The segments of a text; pieces in which there is nothing to speak, such as code, are left out."""
    return [Segment(piece, spoken) for piece in pieces if (spoken := wording.spoken(piece))]


def _owes_words(request: ReplyRequest) -> bool:
    """Returns True if the caller certainly waits for words, so that silence would be dead air."""
    match request.trigger:
        case Silence():
            return False
        case Told(transfer=target):
            return bool(target)
        case ToolResults(results=results):
            called = [m for m in request.messages if any(call.id in results for call in m.tool_calls)]
            return not any(message.text for message in called)
        case _:
            return True


async def _next(
    stream: ReplyStream, model: OpenedLanguageModel, usage: StreamUsage, asked: ModelRequest
) -> TextDelta | ToolCall | ReplyDone:
    """Returns the next event of the reply itself; an event of usage is counted."""
    while isinstance(event := await stream.receive(), Usage):
        usage.report(event)
        asked.note_usage(event)
    if event is None:
        raise _failure(model, "ended before its reply did")
    return event


def _failure(model: OpenedLanguageModel, message: str) -> ComponentError:
    return ComponentError(message, component=model.ref.name, role="llm")
