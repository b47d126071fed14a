"""The tool in the guide works as the guide says."""

from __future__ import annotations

import pytest
from doc_pages import block_titled

import voicepipe

CONTEXT = voicepipe.ToolContext("c", voicepipe.CallInfo(caller="+15550100"))


class Line:
    """As much of a call as the tool needs; nobody takes its transfers."""

    def __init__(self, pin):
        self.variables, self.metadata, self.did = {"pin": pin}, {}, []

    async def say(self, text, *, interrupt):
        self.did.append(text)

    async def transfer(self, target):
        self.did.append(target)
        raise voicepipe.TransferFailed("busy")

    def hang_up(self, goodbye):
        self.did.append(goodbye)

    def set_variables(self, variables):
        self.variables |= variables


async def test_the_tool_that_steers_its_call(tmp_path, monkeypatch):
    (tmp_path / "connecting.py").write_text(block_titled("docs/how-to/tools.md", "connecting.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (connect,) = __import__("connecting").tools
    line = Line("4711")
    context = voicepipe.ToolContext("c", voicepipe.CallInfo(), call=line)
    for _ in range(3):
        with pytest.raises(voicepipe.ToolError, match="the PIN is wrong"):
            await connect.function({"desk": "sales", "pin": "1"}, context)
    assert line.did == ["I am sorry, that was the third wrong PIN. Goodbye."]
    told = await connect.function({"desk": "sales", "pin": "4711"}, context)
    assert told == "nobody at sales took the call (busy); ask whether they should call back"
    assert line.did[1:] == ["Thank you. I am connecting you to sales.", "200"]
    assert line.variables["verified"] == "yes"
    with pytest.raises(RuntimeError, match="has no call"):
        await CONTEXT.say("Hello.")


async def test_the_tool_of_the_guide(tmp_path, monkeypatch):
    (tmp_path / "booking.py").write_text(block_titled("docs/how-to/tools.md", "booking.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    booking = __import__("booking")
    (book,) = booking.tools
    assert isinstance(book, voicepipe.FunctionTool)
    assert list(book.parameters["properties"]) == ["day", "name"]
    assert await book.function({"day": "monday", "name": "Ada"}, CONTEXT) == "booked for Ada (+15550100)"
    with pytest.raises(voicepipe.ToolError, match="tuesday is full"):
        await book.function({"day": "tuesday", "name": "Ada"}, CONTEXT)
    assert (book.filler, book.timeout_s) == ("One moment, please.", 20)
