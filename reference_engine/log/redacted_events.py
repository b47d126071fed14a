"""Replaces private words in each event of a call, before any observer gets it.

`redact` of a set says what is private. What the model, the tools and the caller get is not touched.

The caller's and the called number stay where they are a call's numbers: calls are found by them, and forgotten. They
are hidden by `logging.mask`, for everything that keeps an event; the list of calls that are up shows them all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from voicepipe import (
    CallBegan,
    CallEnded,
    CallSteered,
    ComponentError,
    ComponentFailed,
    DtmfReceived,
    ModelAnswered,
    PrivateSpan,
    PrivateTalk,
    PrivateWords,
    RecordingFailed,
    ReplyContinued,
    ReplyPrepared,
    ToolEnded,
    ToolStarted,
    Transcribed,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe import CallEvent, Message, RedactSettings

KEY = "[key]"
"""What stands for one key that a caller pressed."""


class CallRedaction:
    """Redacts the events of one call.

    Args:
        settings_of: returns the settings in force; they may change while the call is up.

    """

    def __init__(self, settings_of: Callable[[], RedactSettings]) -> None:
        self._settings_of = settings_of
        self._settings: RedactSettings | None = None
        self._talk = PrivateTalk(PrivateWords())

    @property
    def too_slow(self) -> frozenset[str]:
        """Names of patterns that took too long, so that texts were replaced as a whole."""
        return frozenset(self._talk.words.too_slow)

    def __call__(self, event: CallEvent) -> CallEvent:
        """Returns an event without private words."""
        self._update()
        return self._redacted(event) if self._talk.words else event

    def message(self, message: Message) -> str:
        """Returns the text of the conversation's next message, without private words."""
        self._update()
        if message.pressed and "keys" in self._talk.words.kinds:
            return "[keys]"
        if message.role == "caller":
            return self._talk.replace_heard(message.text)
        return self._talk.replace(message.text)

    def data(self, value: Any) -> Any:
        """Returns values of the call, such as its metadata, without private words."""
        self._update()
        return self._talk.words.replace_in(value)

    def _update(self) -> None:
        settings = self._settings_of()
        if settings is not self._settings:
            self._settings = settings
            self._talk.words = words_of(settings)

    def _redacted(self, event: CallEvent) -> CallEvent:  # noqa: C901, PLR0911, PLR0912 - a case for each event
        talk, data = self._talk, self._talk.words.replace_in
        match event:
            case CallBegan():
                info = evolve(event.info, variables=data(event.info.variables))
                return evolve(event, info=info, metadata=data(dict(event.metadata)))
            case Transcribed():
                return evolve(event, text=talk.replace(event.text, complete=False))
            case DtmfReceived():
                hides = "keys" in talk.words.kinds or talk.words.has_numbers  # one at a time they tell nothing else
                return evolve(event, digit=KEY) if hides else event
            case ReplyContinued():
                return evolve(event, text=talk.replace(event.text, complete=False))
            case ReplyPrepared():
                return evolve(event, heard=talk.replace(event.heard, complete=False))
            case TurnEnded():
                return self._turn(event)
            case ComponentFailed():
                return evolve(event, error=self._component_error(event.error))
            case ModelAnswered(error=ComponentError() as failure):
                return evolve(event, error=self._component_error(failure))
            case ModelAnswered():
                return evolve(event, error=None if event.error is None else self._component_error(event.error))
            case RecordingFailed():
                return evolve(event, reason=talk.replace(event.reason))
            case ToolStarted():
                arguments = data(event.arguments)
                if event.name == "send_dtmf" and "keys" in talk.words.kinds:
                    arguments = dict.fromkeys(arguments, "[keys]")
                return evolve(event, arguments=arguments)
            case ToolEnded():
                error = None if event.error is None else redacted_error(event.error, talk.replace)
                return evolve(event, result=talk.replace(event.result), hint=talk.replace(event.hint), error=error)
            case CallSteered():
                return evolve(event, text=talk.replace(event.text), variables=data(event.variables))
            case TransferStarted():
                return evolve(event, target=talk.replace(event.target))
            case TransferEnded():
                return evolve(event, target=talk.replace(event.target), failure=talk.replace(event.failure))
            case CallEnded():
                return evolve(event, detail=talk.replace(event.detail), metadata=data(dict(event.metadata)))
            case _:
                return event

    def _turn(self, event: TurnEnded) -> TurnEnded:
        keys = (
            [PrivateSpan(begin, end, "keys") for begin, end in event.pressed]
            if "keys" in self._talk.words.kinds
            else []
        )
        spans = self._talk.heard(event.heard, keys)
        said = self._talk.replace(event.said, complete=not event.interrupted)
        if not spans:
            return event if said == event.said else evolve(event, said=said)
        heard, pressed = _moved(event.heard, spans, event.pressed)
        return evolve(event, heard=heard, pressed=pressed, said=said)

    def _component_error(self, error: ComponentError) -> ComponentError:
        replace = self._talk.replace
        return ComponentError(
            replace(error.message),
            component=error.component,
            role=error.role,
            retryable=error.retryable,
            answered=replace(error.answered),
            hint=replace(error.hint),
            retry_after_s=error.retry_after_s,
            fault=error.fault,
            too_long=error.too_long,
        )


def bare_event(event: CallEvent) -> CallEvent | None:
    """Returns an event without any text, for one that can't be redacted; None if it says nothing then."""
    if isinstance(event, CallBegan):
        return evolve(event, info=evolve(event.info, variables={}), metadata={})
    return evolve(event, detail="", metadata={}) if isinstance(event, CallEnded) else None


_COMPILED: dict[int, tuple[RedactSettings, PrivateWords]] = {}


def words_of(settings: RedactSettings) -> PrivateWords:
    """Returns what finds the private words of settings; calls share it."""
    kept = _COMPILED.get(id(settings))
    if kept is None or kept[0] is not settings:
        if len(_COMPILED) > 100:
            _COMPILED.clear()
        kept = _COMPILED[id(settings)] = settings, settings.words()
    return kept[1]


def _moved(
    text: str, spans: tuple[PrivateSpan, ...], pressed: tuple[tuple[int, int], ...]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Returns a text with spans replaced, and where the keys in it are now."""
    parts: list[str] = []
    moves: list[tuple[PrivateSpan, int]] = []
    at = length = 0
    for span in spans:
        parts += [text[at : span.begin], span.replacement]
        length += span.begin - at
        moves.append((span, length))
        length += len(span.replacement)
        at = span.end
    parts.append(text[at:])

    def moved(index: int, *, is_end: bool) -> int:
        shift = 0
        for span, begin in moves:
            if index <= span.begin and not (is_end is False and index == span.begin):
                break
            if index < span.end or (is_end and index == span.end):
                return begin + (len(span.replacement) if is_end else 0)
            shift = begin + len(span.replacement) - span.end
        return index + shift

    keys = dict.fromkeys((moved(begin, is_end=False), moved(end, is_end=True)) for begin, end in pressed)
    return "".join(parts), tuple(keys)


class _Redacted(Exception):  # noqa: N818 - its subclasses have the names of what they stand for
    pass


def redacted_error(error: BaseException, replace: Callable[[str], str]) -> BaseException:
    """Returns an exception that prints as another does, with its causes, contexts, notes and members, redacted."""
    return _copy(error, replace, {}, 16)


def _copy(
    error: BaseException, replace: Callable[[str], str], made: dict[int, BaseException], depth: int
) -> BaseException:
    if id(error) in made:
        return made[id(error)]
    kind = type(error)
    text = replace(_text_of(error))
    copy: BaseException
    if isinstance(error, BaseExceptionGroup) and depth:
        members = [_copy(member, replace, made, depth - 1) for member in error.exceptions]
        copy = BaseExceptionGroup(replace(error.message), members)
    else:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": lambda self: self.args[0]}
        copy = type(kind.__name__, (_Redacted,), names)(text)
    made[id(error)] = copy
    copy.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(replace(str(note)))
    if depth:
        for link in ("__cause__", "__context__"):
            linked = getattr(error, link)
            if linked is not None:
                setattr(copy, link, _copy(linked, replace, made, depth - 1))
    copy.__suppress_context__ = error.__suppress_context__
    return copy


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a program's own exception may print wrongly
        return "<exception str() failed>"
