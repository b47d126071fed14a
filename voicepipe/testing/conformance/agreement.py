"""The events of an undisturbed use of a stream, with which other uses are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.testing.conformance.verdicts import Failed, Skipped

if TYPE_CHECKING:
    from voicepipe.testing.conformance.subject import Bench, Received, Use

KEEPS = """\
A component is shared by all calls: what belongs to one of them is kept in its stream, or, by a language model, travels
with the call in `ReplyDone.state`, which its next request brings back in `ReplyRequest.state`. What is kept in the
component, in a class or in a module is heard by whoever calls next."""


class Agreement:
    """The views of undisturbed uses, and the strictest one in which two of them agreed."""

    def __init__(self, bench: Bench[Any], views: dict[int, tuple[Any, ...]], depth: int) -> None:
        self._bench, self._views, self._depth = bench, views, depth

    def __call__(self, variant: int, got: list[Received]) -> None:
        """Raises `Failed` if a use of a variant gave other events."""
        expected = self._views[variant][self._depth]
        given = self._bench.subject.use.essence(events_of(got))[self._depth]
        if given != expected:
            raise Failed(
                f"stream {variant} gave {_shortened(given)}; alone and undisturbed it gives {_shortened(expected)}"
            )


async def agreement(bench: Bench[Any], variants: list[int], *, brief: bool = False) -> Agreement:
    """Uses each variant twice, alone, and returns the strictest view in which both uses agree.

    Raises:
        Failed: they differ because the component keeps something of earlier uses.
        Skipped: they agree in no view.

    """
    first = {variant: await _view(bench, variant, brief=brief) for variant in variants}
    second = {variant: await _view(bench, variant, brief=brief) for variant in variants}
    for depth in range(len(first[variants[0]])):
        if all(first[variant][depth] == second[variant][depth] for variant in variants):
            return Agreement(bench, first, depth)
    await _keeps_nothing(bench, next(number for number in variants if first[number][-1] != second[number][-1]))
    raise Skipped(
        "the same use gave something else each time, of a component that was just opened too: hand in options that "
        "make it say the same, such as a temperature of 0 or a fixed voice"
    )


async def _keeps_nothing(bench: Bench[Any], variant: int) -> None:
    """Checks that a component does not answer differently because of its earlier uses.

    Two components are opened and used twice each. If both give the same the first time, and both something else the
    second time, the difference is no chance.

    Raises:
        Failed: it does.

    """
    views = []
    async with bench.subject.served() as options:
        for _ in range(2):
            async with bench.subject.opened(options) as fresh:
                views.append([(await _view(fresh, variant))[-1] for _ in range(2)])
    if views[0] == views[1] and views[0][0] != views[0][1]:
        was, then = map(_shortened, views[0])
        raise Failed(
            f"the component remembers: opened anew it gives {was}, and when it is asked again {then}", means=KEEPS
        )


async def _view(bench: Bench[Any], variant: int, *, brief: bool = False) -> tuple[Any, ...]:
    use: Use = bench.subject.use
    return use.essence(events_of(await bench.use(variant, brief=brief)))


def events_of(got: list[Received]) -> list[Any]:
    """Returns the events alone, without None at the end."""
    return [received.event for received in got if received.event is not None]


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} ... {text[-140:]}"
