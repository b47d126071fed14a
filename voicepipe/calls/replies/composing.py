"""Composing: the text of a reply from the language model, or from the next one when that fails."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from voicepipe.calls.failover import BudgetExceeded
from voicepipe.calls.history import chars_of, latest, shorter
from voicepipe.calls.replies.continuing import Continuation
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Silence, ToolCall, ToolResults
from voicepipe.errors import ComponentError
from voicepipe.text.segmenting import Segmenter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.calls.failover import Alternatives, Attempts
    from voicepipe.calls.replies.reply import SpokenReply
    from voicepipe.components.requests import ReplyRequest
    from voicepipe.config.call_settings import LanguageModelBudgets
    from voicepipe.pipelines.snapshot import OpenedLanguageModel
    from voicepipe.text.spoken.settings import SpeechSettings


async def compose(
    reply: SpokenReply,
    request: ReplyRequest,
    models: Alternatives[OpenedLanguageModel],
    states: Mapping[str, Any],
    fits: dict[str, int],
    *,
    budgets: LanguageModelBudgets,
    speech: SpeechSettings,
) -> None:
    """Writes a reply's text as it comes, a piece worth speaking at a time.

    While nothing was said, a model that fails is replaced without a trace. After that the next one goes on from
    what was said, and what it repeats of it is left out.

    A success without a word is a failure where the caller waits for words. Where that is not known, since the reply
    that called the tools said something, or nobody spoke, and where all of the text is such that nothing of it is
    spoken (code, an emoji), the model is asked once more, and may stay silent.

    Args:
        reply: gets the text, the tool calls and the model's own end.
        request: what is asked; each model gets its own state in it.
        models: who is asked.
        states: what each model, by key, left in its last `ReplyDone.state`.
        fits: how much of the conversation each model takes, by key, that has refused more; what is found out is
            added.
        budgets: how long they may take.
        speech: how the text is cut.

    Raises:
        ComponentError: no model is left. What was said before stays said.

    """
    asked_again = False
    with await models.begin(budgets.first_token_ms) as attempts:
        while True:
            try:
                known = states, fits
                says = await _ask_what_fits(request, reply, attempts, *known, budgets=budgets, speech=speech)
                if not says and not asked_again:
                    asked_again = True
                    continue
            except ComponentError as error:
                await attempts.failed(error)
            else:
                attempts.succeeded()
                return


async def _ask_what_fits(
    request: ReplyRequest,
    reply: SpokenReply,
    attempts: Attempts[OpenedLanguageModel],
    states: Mapping[str, Any],
    fits: dict[str, int],
    *,
    budgets: LanguageModelBudgets,
    speech: SpeechSettings,
) -> bool:
    """The current model's reply; if the conversation is too long for it, to the latest part that it takes.

    Returns:
        As `_ask` does.

    Raises:
        ComponentError: as `_ask`; or even the turn that is replied to is too long.

    """
    model = attempts.current
    key = model.settings.key
    if key in fits:
        request = evolve(request, messages=latest(request.messages, request.trigger, max_chars=fits[key]))
    for shortenings in count():
        try:
            asked = evolve(request, state=states.get(key), said=reply.text)
            says = await _ask(model, asked, reply, budgets, speech)
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
    raise AssertionError  # it is counted for ever


async def _ask(
    model: OpenedLanguageModel,
    request: ReplyRequest,
    reply: SpokenReply,
    budgets: LanguageModelBudgets,
    speech: SpeechSettings,
) -> bool:
    """One model's reply, or what is missing of one.

    Returns:
        Whether the reply, as far as it is there by now, has anything to be spoken, or tool calls.

    Raises:
        ComponentError: it failed, took too long, or said nothing although words were due.

    """
    # What goes on after something that was said is not the first piece any more.
    first_chars = 0 if request.said else speech.first_segment_chars
    segmenter = Segmenter(first_chars, speech.max_segment_chars, speech.language)
    new = Continuation(request.said)
    tool_calls: list[ToolCall] = []
    done: ReplyDone | None = None
    words = False
    with trio.CancelScope(deadline=trio.current_time() + budgets.first_token_ms / 1000) as scope:
        async with model.component.respond(request) as stream:
            while done is None:
                event = await stream.receive()
                if event is None:
                    raise _failure(model, "ended before its reply did")
                if isinstance(event, TextDelta):
                    words = words or bool(event.text.strip())
                    reply.add(segmenter.feed(new.feed(event.text)))
                elif isinstance(event, ToolCall):
                    tool_calls.append(event)
                elif isinstance(event, ReplyDone):
                    done = event
                    # It is spoken now: leaving the stream may take a moment.
                    reply.add(segmenter.feed(new.finish()) + segmenter.finish())
                if words or tool_calls:
                    if reply.first_token_at is None:
                        reply.first_token_at = trio.current_time()
                    scope.deadline = trio.current_time() + budgets.gap_ms / 1000
            scope.deadline = inf
    if done is None:
        slow = f"nothing came for {budgets.gap_ms} ms" if words else f"said nothing within {budgets.first_token_ms} ms"
        raise BudgetExceeded(slow, component=model.who.name, role="llm", hint="budgets.llm sets how long it may take")
    says = words or bool(tool_calls or request.said)
    if not says and _owes_words(request):
        raise _failure(model, "succeeded, but said nothing")
    reply.tool_calls, reply.done, reply.model = tool_calls, done, model.settings.key
    return bool(tool_calls or reply.segments)


def _owes_words(request: ReplyRequest) -> bool:
    """Whether the caller certainly waits for words, so that silence would be dead air."""
    match request.trigger:
        case Silence():
            return False
        case ToolResults(results=results):
            called = [m for m in request.messages if any(call.id in results for call in m.tool_calls)]
            return not any(message.text for message in called)
        case _:
            return True


def _failure(model: OpenedLanguageModel, message: str) -> ComponentError:
    return ComponentError(message, component=model.who.name, role="llm")
