"""The tool in the guide works as the guide says."""

from __future__ import annotations

import pytest
from doc_pages import block_titled

import voicepipe

CONTEXT = voicepipe.ToolContext("c", voicepipe.CallInfo(caller="+15550100"))


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
