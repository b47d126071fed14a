"""Tools made of Python functions: what the model is told, and what the function gets."""

from typing import Literal, Optional

import pytest

import voicepipe
from voicepipe.tools.functions import FunctionTool, text_of, tool

CONTEXT = voicepipe.ToolContext("c-1", voicepipe.CallInfo(call_id="c-1", caller="100"))


@voicepipe.tool
async def book(
    day: Literal["monday", "tuesday"], name: str, people: int = 2, notes: list[str] | None = None, vip: bool = False
) -> str:
    """Books a table.

    Use it when the caller has said a day
    and a name.

    Args:
        day: on which day,
            this week.
        name (str): the caller's name.
        people: how many come.

    Returns:
        day: not a parameter.

    """
    return f"{day} {name} {people} {notes} {vip}"


def test_the_signature_and_the_docstring_are_what_the_model_reads():
    assert book.tool == voicepipe.Tool(
        "book",
        "Books a table.\nUse it when the caller has said a day and a name.",
        {
            "type": "object",
            "properties": {
                "day": {"enum": ["monday", "tuesday"], "description": "on which day, this week."},
                "name": {"type": "string", "description": "the caller's name."},
                "people": {"type": "integer", "description": "how many come.", "default": 2},
                "notes": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
                "vip": {"type": "boolean", "default": False},
            },
            "required": ["day", "name"],
            "additionalProperties": False,
        },
    )


async def test_the_function_gets_the_arguments_by_name():
    assert await book.function({"name": "Ada", "day": "monday"}, CONTEXT) == "monday Ada 2 None False"


async def test_a_context_is_given_and_not_told():
    @tool
    async def who(context: voicepipe.ToolContext, number: float) -> str:
        """Says who."""
        return f"{context.call_id} {context.info.caller} {number}"

    assert list(who.parameters["properties"]) == ["number"]
    assert who.parameters["required"] == ["number"]
    assert await who.function({"number": 1.5}, CONTEXT) == "c-1 100 1.5"


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"day": "monday", "name": "Ada"}, ""),
        ({"day": "monday", "name": "Ada", "people": 3, "notes": ["window"], "vip": True}, ""),
        ({"day": "monday", "name": "Ada", "notes": None}, ""),
        ({"day": "monday"}, "'name' is a required property"),
        ({"day": "friday", "name": "Ada"}, "day: 'friday' is not one of ['monday', 'tuesday']"),
        ({"day": "monday", "name": 1}, "name: 1 is not of type 'string'"),
        ({"day": "monday", "name": "Ada", "people": "two"}, "people: 'two' is not of type 'integer'"),
        ({"day": "monday", "name": "Ada", "colour": 1}, "Additional properties are not allowed"),
    ],
)
def test_arguments_are_checked(arguments, wrong):
    said = book.check(arguments)
    assert said.startswith(wrong)
    assert bool(said) == bool(wrong)


def test_what_is_said_of_wrong_arguments_is_short():
    assert len(book.check({"day": "x" * 10000, "name": "Ada"})) <= 300


def test_options_are_the_decorators():
    @tool(timeout_s=3, filler="One moment.", filler_after_ms=500, cancellable=True)
    async def look() -> None:
        """Looks."""

    assert (look.timeout_s, look.filler, look.filler_after_ms, look.cancellable) == (3, "One moment.", 500, True)
    assert look.parameters["properties"] == {}
    assert (book.timeout_s, book.filler, book.filler_after_ms, book.cancellable) == (10, "", 1000, False)


def test_types_are_told_as_json_schema():
    @tool
    async def every(a: Optional[int], b: Literal[1, "one"], c: list[list[float]], d: str | int) -> None:  # noqa: UP045
        """Takes everything."""

    assert every.parameters["properties"] == {
        "a": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "b": {"enum": [1, "one"]},
        "c": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "d": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    }


async def no_docstring(a: str):
    return a


async def no_type(a):
    """Takes something."""


async def odd_type(a: dict[str, str]):
    """Takes a mapping."""


async def several(*names: str):
    """Takes several."""


def blocks(a: str):
    """Blocks."""


async def unknown_type(a: "Elsewhere"):  # noqa: F821 - that is the mistake
    """Takes something from elsewhere."""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_docstring, "no docstring"),
        (no_type, "parameter a without a type"),
        (odd_type, "parameter a of the tool odd_type is dict"),
        (several, "needs a name of its own"),
        (blocks, "not async"),
        (unknown_type, "Elsewhere"),
    ],
)
def test_what_no_model_can_be_told_is_a_mistake_at_once(function, said):
    with pytest.raises(TypeError, match=said):
        tool(function)


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "array"},
        {"properties": {}},
        {"type": "object", "properties": {"a": {"type": "text"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/nowhere"}}},
    ],
)
def test_parameters_must_be_a_schema_that_needs_nobody_else(parameters):
    with pytest.raises(ValueError, match="parameters"):
        FunctionTool("t", "Does something.", parameters, book.function)


def test_a_schema_may_refer_to_itself():
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/day"}},
        "$defs": {"day": {"enum": ["monday"]}},
    }
    made = FunctionTool("t", "Does something.", parameters, book.function)
    assert made.check({"a": "monday"}) == ""
    assert "friday" in made.check({"a": "friday"})


@pytest.mark.parametrize("name", ["", "two words", "1st", "x" * 65, "größe"])
def test_names_are_those_that_every_vendor_takes(name):
    with pytest.raises(ValueError, match="name"):
        FunctionTool(name, "Does something.", {"type": "object"}, book.function)


@pytest.mark.parametrize(
    ("result", "text"), [("as it is", "as it is"), (None, "done"), ({"a": [1, "é"]}, '{"a": [1, "é"]}'), (3, "3")]
)
def test_results_are_text_or_json(result, text):
    assert text_of(result) == text
