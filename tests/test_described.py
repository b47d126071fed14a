"""What classes say of themselves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

import attrs
import pytest
from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, instance_of, le, lt, matches_re, max_len, min_len, optional

from voicepipe.components.registry import installed
from voicepipe.components.values import Directory, File, Secret
from voicepipe.config.describe.docstrings import DocumentedName, documented_fields, documented_names, source_of
from voicepipe.config.describe.fields import Bounds, as_data, bounds_of, describe, kind_of
from voicepipe.config.sections import SetFile


@frozen
class Retry:
    """How often."""

    attempts: int = 2
    """Times."""


@frozen
class Base:
    rate_hz: int
    """Samples a second."""


@frozen
class Options(Base):
    """The first paragraph,
    on two lines.

    The second one.
    """

    wait: float = field(default=0.5, validator=[ge(0), lt(10)])
    """How long to wait, in seconds of audio; then it goes on."""
    gap_ms: int | None = None
    """Silence between
    words.

    More about it.
    """
    name: str = "a, in words"
    retry: Retry = field(factory=Retry)
    """As it says."""
    words: tuple[str, ...] = ("one",)
    hidden: int = field(init=False, default=1)


def fields_of(cls):
    return {one.name: one for one in describe(cls).fields}


def test_docstrings_of_classes_and_fields():
    described = describe(Options)
    assert described.doc == "The first paragraph, on two lines.\nThe second one."
    assert described.summary == "The first paragraph, on two lines."
    assert {name: one.doc for name, one in fields_of(Options).items()} == {
        "rate_hz": "Samples a second.",
        "wait": "How long to wait, in seconds of audio; then it goes on.",
        "gap_ms": "Silence between words.\nMore about it.",
        "name": "",
        "retry": "As it says.",
        "words": "",
    }


def test_defaults():
    fields = fields_of(Options)
    assert fields["rate_hz"].required
    assert not fields["retry"].required
    assert as_data(fields["retry"].default) == {"attempts": 2}
    assert as_data(fields["words"].default) == ["one"]
    assert as_data({"a": (1, Retry())}) == {"a": [1, {"attempts": 2}]}
    assert fields["gap_ms"].default is None


def test_units_of_numbers_come_from_the_docstring_or_the_name():
    assert {name: one.unit for name, one in fields_of(Options).items()} == {
        "rate_hz": "Hz",
        "wait": "seconds of audio",
        "gap_ms": "ms",
        "name": None,
        "retry": None,
        "words": None,
    }


def test_a_section_describes_what_stands_below_it():
    fields = fields_of(Options)
    assert [one.name for one in fields["retry"].section.fields] == ["attempts"]
    assert fields["words"].section is None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (str, "text"),
        (int, "whole number"),
        (float, "number"),
        (bool, "true or false"),
        (File, "file"),
        (Directory, "directory"),
        (Secret, "secret"),
        (Any, "anything"),
        (Literal["eu", "us"], "one of eu, us"),
        (float | Literal["none"], "number or none"),
        (str | None, "text or null"),
        (tuple[str, ...], "list of text"),
        (Mapping[str, Secret], "mapping of names to secret"),
        (Retry, "mapping"),
    ],
)
def test_types_in_words(kind, words):
    assert kind_of(kind) == words


@pytest.mark.parametrize(
    ("validator", "bounds", "words"),
    [
        (None, Bounds(), ""),
        (ge(1), Bounds(minimum=1), "at least 1"),
        (gt(0), Bounds(exclusive_minimum=0), "more than 0"),
        (and_(ge(80), le(450)), Bounds(minimum=80, maximum=450), "80 to 450"),
        (and_(gt(0), and_(lt(1))), Bounds(exclusive_minimum=0, exclusive_maximum=1), "more than 0, less than 1"),
        (optional([ge(1), le(2)]), Bounds(minimum=1, maximum=2), "1 to 2"),
        (in_((8000, 16000)), Bounds(choices=(8000, 16000)), "one of 8000, 16000"),
        (min_len(1), Bounds(min_length=1), "not empty"),
        (and_(min_len(2), max_len(9)), Bounds(min_length=2, max_length=9), "length at least 2, length at most 9"),
        (matches_re("a+|b"), Bounds(pattern="^(?:a+|b)$"), "matches ^(?:a+|b)$"),
        (matches_re("a+"), Bounds(pattern="^a+$"), "matches ^a+$"),
        (instance_of(str), Bounds(), ""),
        (lambda _instance, _field, _value: None, Bounds(), ""),
    ],
)
def test_bounds(validator, bounds, words):
    assert bounds_of(validator) == bounds
    assert str(bounds) == words


def test_ways_of_matching():
    import re  # noqa: PLC0415 - only for the functions

    assert bounds_of(matches_re("a", func=re.search)).pattern == "a"
    assert bounds_of(matches_re("a", func=re.match)).pattern == "^a"


def test_a_class_within_a_function():
    @frozen
    class Local:
        """Here."""

        size: int = 1
        """Of it."""

    assert [one.doc for one in describe(Local).fields] == ["Of it."]


def test_without_its_source_a_class_says_the_rest():
    namespace: dict[str, Any] = {}
    sys.modules["made_up"] = ModuleType("made_up")
    try:
        exec("import attrs\nclass A:\n  '''Doc.'''\n  size: int = 1", {"__name__": "made_up"}, namespace)
        described = describe(attrs.frozen(namespace["A"]))
        assert (described.doc, described.fields[0].name, described.fields[0].doc) == ("Doc.", "size", "")
        assert source_of("made_up").body == []
    finally:
        del sys.modules["made_up"]


def test_names_of_a_module():
    documented = documented_names(source_of("voicepipe.config.settings").body)
    assert documented["TOOLS"] == DocumentedName(
        "('hang_up', 'transfer', 'send_dtmf')",
        "The built-in tools, which every set has besides those of its file and of its program.",
    )
    assert documented_fields(Options)["gap_ms"].annotation == "int | None"


def silent(cls):
    """Fields without a docstring, those of sections within included."""
    for one in describe(cls).fields:
        if not one.doc:
            yield f"{cls.__name__}.{one.name}"
        if attrs.has(one.type) and one.section:
            yield from silent(one.type)


@pytest.mark.parametrize("cls", [SetFile, *(one.options for one in installed())], ids=lambda cls: cls.__name__)
def test_everything_that_operators_may_write_is_described(cls):
    assert describe(cls).doc
    assert list(silent(cls)) == []
