"""Every exception that voicepipe raises on purpose.

    VoicepipeError
    ├── ConfigError         theirs: what the files say can't be served; carries every problem with its place
    │   └── ComponentsUnavailable  theirs: nothing is wrong with the files, but what they name does not open
    ├── PipelineSetClosed   ours: the set no longer takes calls
    ├── UnknownVersion      ours: there is no such version to go back to
    ├── CallRefused         ours: a call is not taken
    ├── ComponentError      theirs: a provider refused, stalled, died or answered nonsense
    ├── TransportError      theirs: the telephone side broke its protocol
    └── ToolError           theirs: a tool can't do what the model asked of it

A cancelled task sees `trio.Cancelled` and nothing of these.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.roles import Role


AnyError = TypeVar("AnyError", bound=BaseException)

Fault: TypeAlias = Literal["component", "request", "local"]
"""Whose fault a failure is: `component`, which would fail for other calls too; `request`, what this one asked (it was
too long, filtered, malformed); `local`, this machine or this program (no descriptors left, say). Only the first
counts against a component."""


@frozen(order=True)
class Location:
    """Where something stands in a file; lines and columns count from 1."""

    file: Path = field(converter=Path)
    """As the user named it, so that an editor or a terminal can open it."""
    line: int = 1
    """1 for the first line."""
    column: int = 1
    """1 for the first character of the line."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@frozen
class Problem:
    """One thing that is wrong with a configuration, said so that its author can mend it."""

    where: Location
    """The place to put the cursor."""
    path: str
    """Which setting, from the top: `pipelines.sales.tts.model`; empty for the file as a whole."""
    message: str
    """What is wrong, without the place."""
    hint: str = ""
    """What to do about it: the valid values, the likely spelling, the command to run."""
    source: str = field(default="", eq=False, repr=False)
    """The line it stands in, secrets masked, for showing a caret below; empty if it is not known or too long."""

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}:{path} {self.message}{hint}"


class VoicepipeError(Exception):
    """What all of voicepipe's own exceptions have in common."""


class ConfigError(VoicepipeError):
    """A configuration that can't be served, with all its problems at once.

    Attributes:
        problems: in the order of their places; never empty.
        files: absolute paths of everything that was read or looked for, where that is known.

    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda problem: problem.where))
        self.files: tuple[Path, ...] = tuple(files)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...], tuple[Path, ...]]]:
        return type(self), (self.problems, self.files)


class ComponentsUnavailable(ConfigError):  # noqa: N818 - says what is the case, as UnknownVersion does
    """The files are fit, but what they name does not open: a provider is away, refuses a key, or takes too long.

    The same files may be served later without anybody changing them, so trying again is worth it.
    """


class PipelineSetClosed(VoicepipeError):  # noqa: N818 - like trio.ClosedResourceError's family: a state, not a fault
    """The pipeline set is closing or closed, so no call can be pinned to it."""


class UnknownVersion(VoicepipeError):  # noqa: N818 - says what is unknown
    """A pipeline set has no version of that number, remembers it no more, or has no version at all yet."""


class CallRefused(VoicepipeError):  # noqa: N818 - a decision, not a fault
    """A call is not taken: a listener's handler raises it to have the call refused in the transport's own way."""


class ComponentError(VoicepipeError):
    """A component could not do its work: the one exception that its callers see.

    Attributes:
        component: which one, as the operator knows it (`house_voice`, `vosk`); filled in by the SDK.
        role: what it was used as; filled in by the SDK.
        message: what happened.
        retryable: whether the same request may succeed later without anybody changing anything.
        answered: what the other side said, shortened; empty if it said nothing.
        hint: what an operator can do about it.
        retry_after_s: how long the other side asked to be left alone, in s; None: it did not say.
        fault: whose it was; `component` if nothing else is known.
        too_long: whether the request was longer than the component takes, so that a shorter one may succeed; then
            the fault is the request's.

    """

    def __init__(
        self,
        message: str,
        *,
        component: str = "",
        role: Role | None = None,
        retryable: bool = True,
        answered: str = "",
        hint: str = "",
        retry_after_s: float | None = None,
        fault: Fault = "component",
        too_long: bool = False,
    ) -> None:
        self.component, self.role, self.message, self.retryable = component, role, message, retryable
        self.answered, self.hint, self.retry_after_s = answered, hint, retry_after_s
        self.too_long = too_long
        self.fault: Fault = "request" if too_long else fault
        super().__init__(message)

    def __str__(self) -> str:
        name = f"{self.component}: " if self.component else ""
        answered = f"; answered: {self.answered}" if self.answered else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{name}{self.message}{answered}{hint}"


def errors_behind(error: BaseException) -> Iterator[BaseException]:
    """All exceptions that a traceback shows besides this one: causes, contexts and members of groups."""
    seen = {id(error)}
    ahead = list(_led_to(error))
    while ahead:
        one = ahead.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            ahead += _led_to(one)


def _led_to(error: BaseException) -> tuple[BaseException | None, ...]:
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return (error.__cause__, error.__context__, *members)


def without_frames(error: AnyError) -> AnyError:
    """The same error, which leads to no frame any more, nor do those behind it: so it may be kept.

    A frame knows all that the function knew, such as the call, and so an error that is kept would keep the call.
    """
    known: list[BaseException] = [error, *errors_behind(error)]
    for one in known:
        one.__traceback__ = None
    return error


def copy_to_keep(error: ComponentError) -> ComponentError:
    """Another error that says the same: to be kept by somebody else than those who may raise this one again."""
    return ComponentError(
        error.message,
        component=error.component,
        role=error.role,
        retryable=error.retryable,
        answered=error.answered,
        hint=error.hint,
        retry_after_s=error.retry_after_s,
        fault=error.fault,
        too_long=error.too_long,
    )


LOCAL_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EAGAIN}
"""What the system says when this machine or process lacks something: descriptors, memory, ports, threads."""


def is_local(error: BaseException) -> bool:
    """Whether an exception, or what led to it, says that this machine is in want of something."""
    for one in (error, *errors_behind(error)):
        if isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno in LOCAL_ERRNOS):
            return True
        if isinstance(one, RuntimeError) and "can't start new thread" in str(one):
            return True
    return False


class TransportError(VoicepipeError):
    """The telephone side sent what its protocol forbids, or what can't be played; the message says what to change."""


class ToolError(VoicepipeError):
    """A tool can't do what it was asked; raised by the tool itself, and its text is what the model is told.

    Attributes:
        hint: what an operator can do about it, for the log; the model is not told.

    """

    def __init__(self, *args: object, hint: str = "") -> None:
        self.hint = hint
        super().__init__(*args)
