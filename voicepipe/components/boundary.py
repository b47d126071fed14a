"""The boundary around a component: whatever an adapter raises, its callers see one bare `ComponentError`.

Adapters are written by many hands over libraries of many habits. Some raise a library's own exceptions, some raise
groups, some call `sys.exit`, some swallow what is not theirs, some return None where text is due. If each caller of a
component dealt with that, each would deal with it differently; so it is dealt with here, once, and nothing behind the
boundary doubts a component's answers any more. This module makes the error. `guards` has the objects that calls use in
place of an adapter's own, and that call this module.

What goes in and what comes out
    Four kinds of things can come out of an adapter's method:

    - a value: `validation` checks it against the Protocol, `speech_heads` checks that speech is samples and not a file,
      and a fault is raised as a `ComponentError`;
    - a `ComponentError`: it gets the component's name and role where the adapter gave none. If its cause lies on this
      machine (no descriptors, no memory, no threads), its `fault` says so, and if TLS refused the server, it says why.
      Secrets are concealed in it: the raw text first, then it is folded to one line, then cut. Its causes are dropped
      if any of them quotes a secret, because each traceback would show it;
    - `trio.Cancelled` or `KeyboardInterrupt`: they pass untouched;
    - anything else, groups and `SystemExit` included: a `ComponentError` is made of the first leaf, so an adapter can't
      end the process.

What must not be kept
    An exception leads to frames, frames hold calls, and an exception that leads to itself, by a group or by a frame
    that holds it, is a reference cycle, which only the garbage collector ends. Each call ends with some exceptions. So
    a frame that raises an exception deletes its own names for it, by `finally`.

    Raising inside `except` has a second effect: Python sets the new exception's `__context__` to the one that is being
    handled. An error whose causes were dropped because they quote a secret would lead to that secret again. So
    `raise_component_error` puts the context back, as trio's nurseries and `contextlib.ExitStack` do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import trio
from attrs import field, frozen

from voicepipe.components.quoting import MOST_OF_MESSAGE, quoted
from voicepipe.components.tls import tls_failure
from voicepipe.errors import ComponentError, errors_behind, is_local
from voicepipe.nurseries import leaves_of
from voicepipe.roles import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

T = TypeVar("T")
P = ParamSpec("P")


@frozen
class ComponentRef:
    """A component as its errors name it."""

    role: Role
    """The component's role."""
    name: str
    """The name under `components:`, else the adapter's."""
    conceal: Callable[[str], str] = field(default=str, eq=False, repr=False)
    """Takes secrets out of a text."""


def as_component_error(error: BaseException, ref: ComponentRef) -> BaseException:
    """Returns the exception that stands for what an adapter raised: KeyboardInterrupt, Cancelled or a ComponentError.

    The ComponentError quotes no secret, nor does it lead to an exception that does. Inside `except`, use
    `raise_component_error`.
    """
    leaves = list(leaves_of(error))
    for kind in (KeyboardInterrupt, trio.Cancelled, ComponentError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return _concealed(leaf, ref) if isinstance(leaf, ComponentError) else leaf
    first = leaves[0]
    text = f": {first}" if str(first) else ""
    failure = ComponentError(f"{type(first).__name__}{text}")
    failure.__cause__ = error
    return _concealed(failure, ref)


def error_from_use(error: BaseException, ref: ComponentRef) -> BaseException:
    """Returns the one exception that stands for what came out of a nursery in which a component's stream was used.

    What the component's methods raised is a `ComponentError` by then. Any other exception is the caller's own, and goes
    first. Callers raise it outside of `except` and delete the name.
    """
    leaves = list(leaves_of(error))
    for leaf in leaves:
        if not isinstance(leaf, trio.Cancelled | ComponentError):
            return leaf
    first = next((leaf for leaf in leaves if isinstance(leaf, trio.Cancelled)), leaves[0])
    return _concealed(first, ref) if isinstance(first, ComponentError) else first


def _concealed(error: ComponentError, ref: ComponentRef) -> ComponentError:
    error.component, error.role = error.component or ref.name, error.role or ref.role
    if error.fault == "component" and is_local(error):
        error.fault = "local"  # no outage of the provider's
    if failure := tls_failure(error):
        # Else an adapter that knows nothing of TLS would call it a broken connection, which may pass.
        error.retryable, error.hint = False, error.hint or failure.hint
        if failure.cause not in error.message:
            error.message = f"{error.message}: the server {failure.cause}"
    # Adapters pass a service's text on unchanged, so that all secrets in it are found; it is folded and cut here.
    error.message = quoted(str(error.message), ref.conceal, MOST_OF_MESSAGE)
    error.answered = quoted(str(error.answered), ref.conceal)
    error.hint = quoted(str(error.hint), ref.conceal, MOST_OF_MESSAGE)
    error.args = (error.message,)
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [ref.conceal(str(note)) for note in notes]
    if any(ref.conceal(text) != text for linked in errors_behind(error) for text in _shown_in_traceback(linked)):
        # Each traceback would show the secret.
        error.__cause__ = error.__context__ = None
    return error


def _shown_in_traceback(error: BaseException) -> Iterator[str]:
    """Yields the texts of an exception that a traceback shows."""
    yield str(error)
    yield from getattr(error, "__notes__", ())


def refuse(fault: str, ref: ComponentRef) -> None:
    """Raises the fault of a component's answer as a `ComponentError`; an empty text is no fault."""
    if fault:
        raise _concealed(ComponentError(fault), ref)


def raise_component_error(error: BaseException, ref: ComponentRef) -> NoReturn:
    """Raises `as_component_error(error, ref)`, from an `except` clause that has caught `error`."""
    raised = as_component_error(error, ref)
    context = raised.__context__
    try:
        raise raised
    finally:
        raised.__context__ = context
        del error, raised, context  # the traceback refers to this frame


async def await_guarded(ref: ComponentRef, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Awaits an adapter's function and returns its result; a failure is raised as a `ComponentError`."""
    try:
        return await function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - this is the boundary
        raise_component_error(error, ref)


def call_guarded(ref: ComponentRef, function: Callable[[], T]) -> T:
    """Calls an adapter's function and returns its result; a failure is raised as a `ComponentError`."""
    try:
        return function()
    except BaseException as error:  # noqa: BLE001 - this is the boundary
        raise_component_error(error, ref)
