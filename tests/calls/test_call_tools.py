"""The tools that end a call."""

import pytest

from voicepipe.calls.tools import TOOLS, ending_of, offered_tools
from voicepipe.calls.turn_events import Ending
from voicepipe.config import settings
from voicepipe.events import ToolCall

ALL = offered_tools(("hang_up", "transfer"), frozenset({"transfer"}))


def test_the_configuration_and_the_calls_know_the_same_tools():
    assert set(settings.TOOLS) == set(TOOLS)
    assert all(name == tool.tool.name for name, tool in TOOLS.items())


@pytest.mark.parametrize(
    ("call", "ending"),
    [
        (ToolCall("1", "hang_up"), Ending("agent_hung_up")),
        (ToolCall("1", "transfer", {"target": "100"}), Ending("transfer_requested", "100")),
        (ToolCall("1", "transfer", {"target": 100}), Ending("transfer_requested", "100")),
    ],
)
def test_endings(call, ending):
    assert ending_of([call], ALL, pytest.fail) == ending


def test_tools_keep_the_order_in_which_they_are_listed():
    assert [tool.name for tool in offered_tools(("transfer", "hang_up"), frozenset({"transfer"}))] == [
        "transfer",
        "hang_up",
    ]
    assert offered_tools(("an_integrators_own",), frozenset()) == ()


def test_what_was_not_offered_is_refused_with_a_hint():
    refused = []
    calls = [ToolCall("1", "transfer"), ToolCall("2", "hang_up")]
    offered = offered_tools(("hang_up",), frozenset({"transfer"}))
    assert ending_of(calls, offered, refused.append) == Ending("agent_hung_up")
    (error,) = refused
    assert "transfer" in error.message
    assert not error.retryable
    assert "tools" in error.hint


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_parameters_are_a_schema_that_a_model_can_read(name):
    tool = TOOLS[name].tool
    assert tool.description.endswith(".")
    assert tool.parameters["type"] == "object"
    assert set(tool.parameters.get("required", ())) <= set(tool.parameters["properties"])
