"""The tools that every call has, and which of a pipeline's tools a call offers."""

import pytest

from voicepipe.calls.tools.builtin import ENDING_TOOLS, EndingTool, send_dtmf
from voicepipe.calls.tools.toolbox import Toolbox
from voicepipe.calls.turns.events import Ending
from voicepipe.config import settings
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool


async def nothing(_arguments, _context):
    return None


BOOK = FunctionTool("book", "Books a time.", {"type": "object", "properties": {}}, nothing)


def box(names, can=frozenset({"transfer", "send_dtmf"}), functions=(BOOK,)):
    return Toolbox(names, functions, MemoryTransport(can=frozenset(can)))


def offered(names, **options):
    return [tool.name for tool in box(names, **options).offered]


async def test_the_configuration_and_the_calls_know_the_same_tools():
    assert set(settings.TOOLS) == {*ENDING_TOOLS, "send_dtmf"}
    assert offered(settings.TOOLS) == list(settings.TOOLS)
    assert all(name == tool.tool.name for name, tool in ENDING_TOOLS.items())


async def test_tools_keep_the_order_in_which_they_are_listed():
    assert offered(("transfer", "book", "hang_up")) == ["transfer", "book", "hang_up"]


async def test_what_is_not_listed_not_possible_or_not_known_is_not_offered():
    assert offered(("hang_up",)) == ["hang_up"]
    assert offered(("transfer", "send_dtmf", "hang_up"), can=()) == ["hang_up"]
    assert offered(("an_integrators_own", "book"), functions=()) == []


async def test_a_tool_that_is_not_offered_is_not_given():
    assert isinstance(box(("transfer",)).get("transfer"), EndingTool)
    assert box(("transfer",), can=()).get("transfer") is None
    assert box(("hang_up",)).get("book") is None


@pytest.mark.parametrize(
    ("name", "arguments", "ending"),
    [
        ("hang_up", {}, Ending("agent_hung_up")),
        ("hang_up", {"reason": "a model's idea"}, Ending("agent_hung_up")),
        ("transfer", {"target": "100"}, Ending("transfer_requested", "100")),
        ("transfer", {"target": " 100 "}, Ending("transfer_requested", "100")),
        ("transfer", {"target": 100}, Ending("transfer_requested", "100")),
    ],
)
def test_endings(name, arguments, ending):
    assert ENDING_TOOLS[name].check(arguments) == ""
    assert ENDING_TOOLS[name].ending(arguments) == ending


@pytest.mark.parametrize("arguments", [{}, {"target": ""}, {"target": "  "}, {"target": None}, {"to": "100"}])
def test_a_transfer_needs_a_target(arguments):
    assert "target" in ENDING_TOOLS["transfer"].check(arguments)


@pytest.mark.parametrize("digits", ["", "12 34", "x", 12, None, "1" * 33])
async def test_only_keys_can_be_pressed(digits):
    assert "digits" in send_dtmf(MemoryTransport()).check({"digits": digits})


@pytest.mark.parametrize("name", sorted(settings.TOOLS))
async def test_parameters_are_a_schema_that_a_model_can_read(name):
    (tool,) = box((name,)).offered
    assert tool.description.endswith(".")
    assert tool.parameters["type"] == "object"
    assert set(tool.parameters.get("required", ())) <= set(tool.parameters["properties"])
