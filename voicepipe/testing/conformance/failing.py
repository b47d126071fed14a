"""Checks of faults of the service: each is noticed in time, and reported as a `ComponentError`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio
from attrs import frozen

from voicepipe.components.events import ReplyDone, Transcript
from voicepipe.components.protocols import Probing, Resources
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError
from voicepipe.nurseries import leaves_of
from voicepipe.testing.conformance.belongings import belongings, nothing_more_than
from voicepipe.testing.conformance.kit import Check, checks
from voicepipe.testing.conformance.loop import longest_quiet
from voicepipe.testing.conformance.subject import THREADS, Bench
from voicepipe.testing.conformance.verdicts import Failed, Skipped, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.testing.conformance.subject import Subject


@frozen
class FaultKind:
    """A fault of the service, and the error that must report it."""

    check: str
    """The name of its check."""
    happens: str
    """The fault, in words."""
    retryable: bool | None = None
    """The required value of `ComponentError.retryable`; None: either."""
    hinted: bool = False
    """Whether an operator can mend it, so that the error must have a hint."""
    waits: bool = False
    """Whether the service says how long to wait."""
    may_be_empty: bool = False
    """Whether a reply that ends as `empty`, or an empty transcript, is allowed instead of an error."""
    overdue: bool = False
    """Whether only a deadline can notice it."""


MEND = """\
Whatever goes wrong becomes one `ComponentError`: `message` says what happened, `answered` what the other side said,
`hint` what an operator can do, `retryable` whether the same request may succeed later. None of it shows a secret: keys
are named by `Secret.source`. Nothing else gets out of the
adapter: no exception of the vendor's library, no `KeyError` from parsing, no `SystemExit`. (A nursery's group with a
`ComponentError` in it is taken apart at the edge; `KeyboardInterrupt` and `Cancelled` pass, and are never raised.)
The call fails over when it sees the error, so it must come within the stream's deadline."""

SLOW = """\
The service said what is wrong, or ended the connection, and the call was told only later: a deadline of the adapter's
had to run out, or the adapter, or the vendor's library, tried again by itself after a pause. Meanwhile the caller hears
nothing. Judge the end of an answer when it comes, and switch the library's retries off: the call fails over, which is
quicker, and a circuit breaker decides when to try again. Only `stall` and `deaf` are left to a deadline."""

UNSAID = f"""\
{MEND}

A service that refuses without saying how long to wait is handed in as a `server_error`, such as
`"server_error: too many"`, and `"throttled": None`: an adapter does not make up a time."""

QUIET_S = 0.5
"""The longest time without any step before a fault that the service reports is reported, in s."""

FAULTS: Mapping[str, FaultKind] = {
    "broken": FaultKind("broken_options_are_told", "the options name what is not there", False, hinted=True),
    "refuse": FaultKind("a_refusal_is_told", "nobody listens at the address", True),
    "unauthorised": FaultKind("a_wrong_key_is_told", "the key is not accepted (401)", False, hinted=True),
    "throttled": FaultKind("throttling_is_told", "too many requests (429 with Retry-After)", True, waits=True),
    "server_error": FaultKind("a_server_error_is_told", "the service fails (500, 503)", True),
    "stall": FaultKind(
        "a_stall_is_noticed", "the service goes silent in mid-stream, the connection stays", True, overdue=True
    ),
    "half_close": FaultKind("a_half_close_is_noticed", "the connection ends before the service said so", True),
    "empty": FaultKind("an_empty_success_is_noticed", "the service succeeds with nothing", may_be_empty=True),
    "rubbish": FaultKind("rubbish_is_told", "the service sends what can't be read"),
    "deaf": FaultKind("a_deaf_service_is_noticed", "the service stops reading, and says nothing", True, overdue=True),
}
"""The kinds of faults, by the name under which options for them are handed in."""


def fault_checks(faults: Mapping[str, Any]) -> tuple[Check, ...]:
    """Makes a check for each fault that was handed in, and one that is skipped and names the kinds that were not.

    Args:
        faults: options by kind, or by kind and detail: `stall`, `stall: before the head`. None instead of options: the
            fault is impossible for this adapter, and is not checked.

    Raises:
        ValueError: a kind is unknown.

    """
    made = []
    for name in faults:
        kind = name.partition(":")[0].strip()
        if kind not in FAULTS:
            raise ValueError(f"{name!r} is no fault that the kit knows; it knows {', '.join(FAULTS)}")
        if faults[name] is None:
            continue
        what = name.partition(":")[2].strip()
        check = FAULTS[kind].check + (f"[{what}]" if what else "")
        made.append(Check(check, f"When {FAULTS[kind].happens}.\n\n{MEND}", partial(_goes_wrong, name, FAULTS[kind])))
    kinds = {name.partition(":")[0].strip() for name in faults}
    if lacking := [kind for kind in FAULTS if kind not in kinds]:
        reason = (
            f"hand in faults={{kind: options}} for what can go wrong with it of {', '.join(lacking)}; "
            f"for what can't, faults={{kind: None}}"
        )
        made.append(Check("other_faults_are_noticed", MEND, partial(_skip, reason)))
    return tuple(made)


async def _skip(reason: str, subject: Subject[Any]) -> None:
    del subject
    raise Skipped(reason)


async def _goes_wrong(name: str, kind: FaultKind, subject: Subject[Any]) -> None:
    quiet_s = await _reported_after_s(name, kind, subject)
    if kind.overdue or quiet_s < QUIET_S:
        return
    # A library that was imported, or a process that was started, may have taken as long: once, or each time.
    quiet_s = min(quiet_s, await _reported_after_s(name, kind, subject))
    with longest_quiet() as otherwise:
        async with subject.bench() as bench:
            await bench.use(brief=True)
    if quiet_s > QUIET_S + 2 * otherwise.seconds:
        raise Failed(
            f"it was told after {quiet_s:.1f} s in which nothing happened, although {kind.happens}", means=SLOW
        )


async def _reported_after_s(name: str, kind: FaultKind, subject: Subject[Any]) -> float:
    """Returns the longest time without any step, in s, until the fault was reported as it has to be."""
    async with subject.served(name) as options:
        before = belongings()
        with longest_quiet() as quiet:
            error = await _failure(kind, subject, options)
        if error is not None:
            _judge(kind, error)
            _shows_no_secret(options, error)
        await nothing_more_than(before, subject.limits.settle_s)
    return quiet.seconds


async def _failure(kind: FaultKind, subject: Subject[Any], options: Any) -> ComponentError | None:
    """Returns the `ComponentError` that the adapter itself raises, without the boundary; None if none is needed."""
    resources = Resources(component=subject.adapter.name, threads=trio.CapacityLimiter(THREADS))
    events: list[Any] = []
    try:
        async with subject.entered("the component", subject.adapter.open(options, resources)) as component:
            events = [
                received.event for received in await Bench(subject, component, component, resources).use(raw=True)
            ]
    except BaseException as raised:
        leaves = list(leaves_of(raised))
        for leaf in leaves:
            if isinstance(leaf, ComponentError):
                return leaf
        if any(isinstance(leaf, Failed | trio.Cancelled | KeyboardInterrupt) for leaf in leaves):
            raise
        module = subject.adapter.options.__module__
        errors = "; ".join(f"{type(leaf).__name__}: {leaf}{place_of(leaf, module)}" for leaf in leaves)
        raise Failed(f"what came was no ComponentError, but {errors}") from raised
    if kind.may_be_empty and _says_that_it_is_empty(events):
        return None
    raise Failed(f"nothing was noticed: the stream ended as if all was well, after {len(events) - 1} events")


def _says_that_it_is_empty(events: list[Any]) -> bool:
    finals = [event for event in events if isinstance(event, Transcript) and event.final]
    ends = [event for event in events if isinstance(event, ReplyDone)]
    return (
        bool(finals or ends) and not any(final.text for final in finals) and all(end.reason == "empty" for end in ends)
    )


def _judge(kind: FaultKind, error: ComponentError) -> None:
    if not error.message.strip():
        raise Failed("the ComponentError has no message")
    if not isinstance(error.retryable, bool) or kind.retryable not in {None, error.retryable}:
        raise Failed(f"retryable is {error.retryable!r} although {kind.happens}: {error}")
    if kind.hinted and not error.hint.strip():
        raise Failed(f"it has no hint for the operator: {error}")
    if kind.waits and not (error.retry_after_s and error.retry_after_s > 0):
        raise Failed(
            f"retry_after_s is {error.retry_after_s!r}, the service said how long to wait: {error}", means=UNSAID
        )


SHORTEST_SECRET = 8
"""The least length of a secret that is looked for, in characters: a shorter one may occur by chance."""


def _shows_no_secret(options: Any, error: ComponentError) -> None:
    text = f"{error} {error.message} {error.answered} {error.hint}"
    for secret in _secrets(options):
        if len(secret) >= SHORTEST_SECRET and secret in text:
            raise Failed(f"its error shows a secret of the options: {text.replace(secret, '[here]')}")


def _secrets(value: Any) -> Iterator[str]:
    """Yields the secrets in options, at any depth."""
    if isinstance(value, Secret):
        yield str(value)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _secrets(getattr(value, field.name))
    elif isinstance(value, tuple | list | Mapping):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(inner)


AWAY = ("refuse", "unauthorised")
"""Faults that a probe has to notice."""


async def a_probe_tells_the_truth(subject: Subject[Any]) -> None:
    """If the service is away or does not take the key, the component does not open, or its `probe` fails.

    The probe decides whether a new version may serve, and when a circuit breaker lets calls through again: one that
    always passes sends callers to what can't answer. Ask the service for something that costs nothing and needs the
    key, such as its list of models, and raise what comes of it as a `ComponentError`.
    """
    async with subject.bench() as bench:
        if not isinstance(bench.raw, Probing):
            return
    away = [name for name in subject.faults if name.partition(":")[0].strip() in AWAY]
    for name in away:
        async with subject.served(name) as options:
            await _is_noticed(name, subject, options)
    if not away and not any(kind in subject.impossible for kind in AWAY):
        raise Skipped(f"hand in faults={{kind: options}} for {' and '.join(AWAY)}: it has a probe, which is to notice")


async def _is_noticed(name: str, subject: Subject[Any], options: Any) -> None:
    try:
        async with subject.opened(options) as bench:
            with subject.due("probe()"):
                await bench.raw.probe()
    except ComponentError:
        return
    raise Failed(f"probe() passed although {FAULTS[name.partition(':')[0].strip()].happens}")


PROBING = checks(a_probe_tells_the_truth)
