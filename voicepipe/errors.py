"""Every exception that voicepipe raises on purpose.

    VoicepipeError
    ├── ConfigError         theirs: the configuration is invalid; carries every problem with its place
    │   └── ComponentsUnavailable  theirs: the configuration is valid, but a component does not open
    ├── PipelineSetClosed   ours: the set no longer takes calls
    ├── UnknownVersion      ours: there is no such version
    ├── CallRefused         ours: a handler refuses a call
    ├── CallOver            ours: a call can't be steered any more
    ├── ComponentError      theirs: a provider refused, stalled, died or answered nonsense
    ├── TransportError      theirs: the telephone side broke its protocol
    │   ├── TransferFailed  theirs: nobody took a transfer, and the caller is back
    │   └── DialFailed      theirs: nobody answered a call that the agent made
    └── ToolError           theirs: a tool failed at what the model asked for

Cancellation is not among them: a cancelled task sees `trio.Cancelled`.
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
"""The cause of a failure: `component`, which would fail for other calls too; `request`, one that was too long, filtered
or malformed; `local`, a shortage of this machine or process, such as of file descriptors. Only `component` counts in
the circuit breaker."""


@frozen(order=True)
class Location:
    """A place in a file; lines and columns count from 1, and are 0 for a file as a whole."""

    file: Path = field(converter=Path)
    """The path as the user wrote it, so that an editor or a terminal can open it."""
    line: int = 1
    """1 for the first line."""
    column: int = 1
    """1 for the first character of the line."""

    @classmethod
    def of_whole(cls, file: Path) -> Location:
        """Returns the place of what concerns a file and no line of it: it was not read, or has to be read again."""
        return cls(file, 0, 0)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)


@frozen
class Problem:
    """One fault of a configuration: its place, the message, and the remedy."""

    where: Location
    """The place of the fault in the file."""
    path: str
    """The setting's path from the top of the file: `pipelines.sales.tts.model`; empty for the file as a whole."""
    message: str
    """The fault, without its place."""
    hint: str = ""
    """The remedy: the valid values, the likely spelling, the command to run; empty if there is none to name."""
    source: str = field(default="", eq=False, repr=False)
    """The line of the file with secrets masked, for a caret below it; empty if it is unknown or too long."""

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}:{path} {self.message}{hint}"


class VoicepipeError(Exception):
    """The base class of all exceptions that voicepipe defines."""


class ConfigError(VoicepipeError):
    """A configuration is invalid; the exception carries all of its problems.

    Attributes:
        problems: the problems in the order of their places; never empty.
        files: the absolute paths of all files that were read or looked for, as far as they are known.

    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda problem: problem.where))
        self.files: tuple[Path, ...] = tuple(files)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...], tuple[Path, ...]]]:
        return type(self), (self.problems, self.files)


class ComponentsUnavailable(ConfigError):  # noqa: N818 - names a state, as UnknownVersion does
    """The configuration is valid, but a component in it does not open: its provider is down, slow, or refuses a key.

    An unchanged configuration may open later, so a retry is worthwhile.
    """


class PipelineSetClosed(VoicepipeError):  # noqa: N818 - names a state, as trio.Cancelled does
    """The pipeline set is closing or closed, so no call can be pinned to it."""


class UnknownVersion(VoicepipeError):  # noqa: N818 - says what is unknown
    """A pipeline set has no version of that number, no longer keeps it, or has no version at all yet."""


class CallRefused(VoicepipeError):  # noqa: N818 - a decision, not a fault
    """A listener's handler raises this to refuse a call, which the transport then does in its own way."""


class CallOver(VoicepipeError):  # noqa: N818 - names a state, as trio.Cancelled does
    """A call can't be steered any more: it is over, or the agent says its last words."""


class ComponentError(VoicepipeError):
    """A component failed; the only exception, besides cancellation, that its callers see.

    Attributes:
        component: the component's name in the configuration (`house_voice`, `vosk`); filled in by the SDK.
        role: the role in which it was used; filled in by the SDK.
        message: what happened.
        retryable: whether an identical request may succeed later without a change of configuration.
        answered: the provider's answer, shortened; empty if there was none.
        hint: what an operator can change.
        retry_after_s: the pause that the provider asked for, in s; None if it asked for none.
        fault: the cause; `component` if nothing else is known.
        too_long: whether the request was longer than the component accepts, so that a shorter one may succeed;
            `fault` is then `request`.

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
    """Yields every exception linked to this one, at any depth: causes, contexts and members of groups, each once."""
    seen = {id(error)}
    pending = list(_linked(error))
    while pending:
        linked = pending.pop()
        if linked is not None and id(linked) not in seen:
            seen.add(id(linked))
            yield linked
            pending += _linked(linked)


def _linked(error: BaseException) -> tuple[BaseException | None, ...]:
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return (error.__cause__, error.__context__, *members)


def without_frames(error: AnyError) -> AnyError:
    """Removes the tracebacks of an error and of all errors linked to it, and returns the error.

    For errors that are kept: a traceback refers to frames, and those to their local variables, so the error would keep
    its call in memory.
    """
    linked: list[BaseException] = [error, *errors_behind(error)]
    for exception in linked:
        exception.__traceback__ = None
    return error


def copy_to_keep(error: ComponentError) -> ComponentError:
    """Returns a copy without a traceback, a cause or a context: for an owner that outlives the call that failed."""
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
"""Error numbers of a shortage of this machine or process: of descriptors, memory, ports or threads."""


def is_local(error: BaseException) -> bool:
    """Returns True if an exception, or one linked to it, reports a shortage of this machine or process."""
    for exception in (error, *errors_behind(error)):
        if isinstance(exception, MemoryError) or (isinstance(exception, OSError) and exception.errno in LOCAL_ERRNOS):
            return True
        if isinstance(exception, RuntimeError) and "can't start new thread" in str(exception):
            return True
    return False


class TransportError(VoicepipeError):
    """The telephone side broke its protocol, or sent audio that can't be decoded; the message says what to change."""


class TransferFailed(TransportError):  # noqa: N818 - an outcome, as CallRefused is
    """Nobody took a transfer, and the caller is back with the agent; its text is the reason: `busy`, `no answer`."""


DialOutcome: TypeAlias = Literal["busy", "no_answer", "failed"]
"""Why nobody answered a call: `busy` (or declined), `no_answer` (it rang for as long as it may), `failed` (the target
can't be reached, does not exist, or the telephone system refused)."""


class DialFailed(TransportError):  # noqa: N818 - an outcome, as TransferFailed is
    """Nobody answered a call that the agent made.

    Attributes:
        outcome: why.

    """

    def __init__(self, outcome: DialOutcome, message: str) -> None:
        self.outcome = outcome
        super().__init__(message)

    def __reduce__(self) -> tuple[type[DialFailed], tuple[DialOutcome, str]]:
        return type(self), (self.outcome, str(self))


class ToolError(VoicepipeError):
    """A tool raises this when it can't do what the model asked for; the model is given its text.

    Attributes:
        hint: what an operator can change, for the log; the model is not given it.

    """

    def __init__(self, *args: object, hint: str = "") -> None:
        self.hint = hint
        super().__init__(*args)
