"""A turn's parts: each is written in one place, and comes to what observers are told."""

import ast
from pathlib import Path

import attrs
import pytest

from voicepipe.calls.replies import replies, turn
from voicepipe.calls.replies.heard import SpokenSegment, split_spoken
from voicepipe.calls.replies.reply_sound import ReplySound
from voicepipe.calls.replies.reply_text import ReplyText, Segment
from voicepipe.calls.replies.turn import CallerSide, Fate, Turn
from voicepipe.components.requests import Dtmf, Silence, Utterance
from voicepipe.errors import ComponentError

WRITERS = {
    ReplyText: {"composing", "reply_text"},
    ReplySound: {"speaking", "reply_sound"},
    SpokenSegment: {"speaking", "heard", "reply_sound"},
    Fate: {"replies"},
}
"""The modules that may set the fields of a part."""


def written_in(module):
    """Names of the attributes that a module sets, or adds to in place; those of `self` are its own class's."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value
            if node.func.attr in {"append", "insert", "extend"} and isinstance(target, ast.Attribute):
                yield target.attr


def test_each_part_is_written_in_one_place():
    allowed = {}
    for part, modules in WRITERS.items():
        for name in attrs.fields_dict(part):
            allowed.setdefault(name, set()).update(modules)
    allowed["on_complete"] |= {"replies", "speaking"}  # who wants to know, not what there is
    allowed["on_segment"] |= {"replies"}
    modules = sorted(Path(replies.__file__).parent.glob("*.py"))
    assert {module.stem for module in modules} >= set().union(*WRITERS.values())
    found = {(name, module.stem) for module in modules for name in written_in(module) if name in allowed}
    assert {(name, module) for name, module in found if module not in allowed[name]} == set()
    assert {"segments", "first_token_at", "first_audio_at", "audible_at"} <= {name for name, _ in found}


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ((), ("", ())),
        ((Utterance("hello"),), ("hello", ())),
        ((Dtmf("12"),), ("12", ((0, 2),))),
        ((Utterance("it is"), Dtmf("5"), Dtmf("66"), Utterance("yes")), ("it is 5 66 yes", ((6, 7), (8, 10)))),
    ],
)
def test_what_the_caller_said_and_pressed_is_one_line(inputs, line):
    assert CallerSide(inputs[-1] if inputs else None, inputs).line == line


def a_turn(**caller):
    text, sound, fate = ReplyText(first_token_at=11.0), ReplySound(first_audio_at=11.5), Fate(audible_at=12.0)
    return Turn(1, CallerSide(**caller), text, sound, fate, asked_at=10.5)


def test_times_count_from_the_end_of_the_callers_speech():
    spoken = a_turn(trigger=Utterance("hello"), spoken_at=10.0, final_at=10.25)
    assert spoken.response_ms == 2000
    assert attrs.astuple(spoken.timings) == (250, 500, 1000, 1500, 2000)


def test_or_from_when_the_reply_was_asked_for():
    silent = a_turn(trigger=Silence(1), final_at=3.0)
    assert silent.response_ms is None
    assert attrs.astuple(silent.timings) == (None, 0, 500, 1000, 1500)


def test_every_trigger_has_a_name():
    assert {CallerSide(None).trigger_name, CallerSide(Silence(1)).trigger_name} == {"announcement", "silence"}
    assert len(set(turn.TRIGGER_NAMES.values())) == len(turn.TRIGGER_NAMES) == 7


def test_a_sound_follows_its_text_past_a_split():
    """The rest of a segment that a voice broke off moves the later ones up; the text stays as it was written."""
    written = [Segment("one two three four.", "one two three four.")]
    sound = ReplySound()
    sound.follow(written)
    sound.follow(written)  # nothing new
    sound.segments[0].start_ms, sound.segments[0].end_ms = 0.0, 520.0  # eight characters
    sound.segments.insert(1, split_spoken(sound.segments, 0))
    written.append(Segment("$5.", "five dollars."))
    sound.follow(written)
    assert [segment.spoken for segment in sound.segments] == ["one two", "three four.", "five dollars."]
    assert sound.segments[2].text == "$5."
    assert [segment.text for segment in written] == ["one two three four.", "$5."]


@pytest.mark.parametrize(("spoken", "owed"), [("hello.", True), ("...", False), ("\N{WAVING HAND SIGN}", False)])
def test_a_voice_owes_audio_for_words_alone(spoken, owed):
    sound = ReplySound()
    sound.follow([Segment("hi", "hi"), Segment(spoken, spoken)])
    assert sound.owes_words(1) == owed
    assert sound.owes_words(0)
    assert not sound.owes_words(2)


async def test_a_text_tells_its_end_in_order_and_its_failure_once():
    text, told = ReplyText(), []
    text.on_complete += [lambda: told.append((1, text.complete)), lambda: told.append((2, text.complete))]
    text.end(ComponentError("broke"))
    assert told == [(1, True), (2, True)]
    with pytest.raises(ComponentError, match="broke"):
        text.raise_failure()
    text.raise_failure()
