"""When a recogniser that returns no words for speech is doubted, and when it is blamed."""

from types import SimpleNamespace

import pytest
from attrs import define, field

from voicepipe.calls.listening.second_opinion import SecondOpinion
from voicepipe.components.events import Transcript

LONG, SHORT = 400, 380  # ms of voice, beside a threshold of 400
NOTHING = ("", LONG)


@define(eq=False)
class Recognisers:
    """A failover list, as far as opinions ask for it; `first`, `second`, ... are its names."""

    names: tuple[str, ...] = ("first", "second", "third")
    blamed: list = field(factory=list)
    went_on_with: list = field(factory=list)
    index: int = 0

    @property
    def has_other(self):
        return self.index + 1 < len(self.names)

    @property
    def current(self):
        name = self.names[self.index]
        breaker = SimpleNamespace(failed=lambda error, _now: self.blamed.append((name, error)))
        return SimpleNamespace(ref=SimpleNamespace(name=name, role="stt"), breaker=breaker)

    def tell(self, error):
        assert error is self.blamed[-1][1]

    def tell_next(self, rung, name):
        self.went_on_with.append((rung, name))


def judge(*finals, names=("first", "second", "third"), after_ms=400):
    """Each final is judged in turn; one that is doubted moves the call to the next recogniser.

    Returns:
        For each final whether it was doubted, and who was blamed in the end.

    """
    stts = Recognisers(names)
    opinion = SecondOpinion(after_ms, stts, stts)
    doubts = []
    for text, voiced_ms in finals:
        doubts.append(opinion.doubts(Transcript(text, final=True), voiced_ms))
        stts.index += doubts[-1]
    return doubts, [name for name, _ in stts.blamed], stts.went_on_with


@pytest.mark.parametrize(
    ("finals", "doubts", "blamed"),
    [
        ([("", SHORT)], [False], []),
        ([("hello", LONG)], [False], []),
        ([NOTHING, ("hello", LONG)], [True, False], ["first"]),
        ([NOTHING, ("hello", SHORT)], [True, False], ["first"]),
        ([NOTHING, NOTHING], [True, False], []),
        ([NOTHING, ("", 0)], [True, False], []),  # whatever voice the other one's answer covers
        ([NOTHING, NOTHING, NOTHING, NOTHING], [True, False, False, False], []),
        ([NOTHING, NOTHING, ("hello", LONG), NOTHING], [True, False, False, True], []),
        ([NOTHING, NOTHING, ("hello", LONG), NOTHING, ("yes", LONG)], [True, False, False, True, False], ["second"]),
        ([NOTHING, ("hello", LONG), NOTHING, NOTHING], [True, False, True, False], ["first"]),
    ],
)
async def test_the_policy(autojump_clock, finals, doubts, blamed):
    assert judge(*finals)[:2] == (doubts, blamed)


async def test_the_one_that_found_the_words_goes_on(autojump_clock):
    assert judge(NOTHING, ("hello", LONG))[2] == [("alternate", "second")]


async def test_with_one_recogniser_nobody_can_be_asked(autojump_clock):
    assert judge(NOTHING, ("hello", LONG), names=("only",))[:2] == ([False, False], [])


@pytest.mark.parametrize(("after_ms", "voiced_ms", "doubted"), [(0, 9000, False), (20, 20, True), (2000, 1980, False)])
async def test_the_key_sets_how_much_voice_is_doubted(autojump_clock, after_ms, voiced_ms, doubted):
    assert judge(("", voiced_ms), after_ms=after_ms)[0] == [doubted]
