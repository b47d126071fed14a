"""Tool calls put together from the pieces that servers send: pure.

The API says: each call has an index; its first piece has id and name, all have a part of the arguments. What comes
besides, by server: every call whole and with index 0 (Ollama, Gemini's endpoint, proxies in front of it), without
`index`, without `id` or with an empty one (Gemini), the same id for all, a new one for each piece, id and name on each
piece (vLLM's last), a name in pieces, an index that counts pieces, arguments as an object or growing from piece to
piece, names with `functions.` before or special tokens behind them (gpt-oss).

Which call a piece belongs to is decided when it comes. Whether the arguments of one call are several is seen at the
end, in `openai_arguments`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from attrs import define, field

from voicepipe.adapters.openai.tool_arguments import begins_object, calls_in, is_whole
from voicepipe.components.requests import ToolCall
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.adapters.openai.tool_arguments import Arguments

NAMESPACES = ("functions.", "tools.", "default_api.", "functions:")
"""What models write before a tool's name that is not part of it."""


def as_text(arguments: object) -> str:
    """A piece of arguments as text; some servers give an object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False, default=str)


@define(eq=False)
class PartialCall:
    """A tool call on its way."""

    id: str = ""
    """As the server has it; empty: none yet."""
    name: str = ""
    """As far as it has come."""
    text: str = ""
    """The arguments, as far as they have come."""
    pieces: list[str] = field(factory=list)
    """Those pieces of the arguments that are not empty."""

    def add(self, number: str, name: str, arguments: str) -> None:
        """Another piece of it."""
        self.id = self.id or number
        if name != self.name:
            self.name = name if name.startswith(self.name) else self.name + name
        if arguments:
            self.text += arguments
            self.pieces.append(arguments)

    @property
    def is_open(self) -> bool:
        """Whether its arguments have begun and are not complete."""
        return bool(self.text.strip()) and not is_whole(self.text)

    @property
    def grows(self) -> bool:
        """Whether each piece of its arguments holds all that came before."""
        pieces = self.pieces
        return len(pieces) > 1 and all(map(str.startswith, pieces[1:], pieces))


class ToolCalls:
    """The tool calls of one reply.

    Args:
        offered: the names of the tools that the model may call; empty: not known.

    """

    def __init__(self, offered: Iterable[str] = ()) -> None:
        self._offered = frozenset(offered)
        self._calls: list[PartialCall] = []
        self._by_index: dict[int, PartialCall] = {}

    def __len__(self) -> int:
        return sum(bool(call.name or call.text.strip()) for call in self._calls)

    def add(self, number: object, name: object, arguments: object) -> None:
        """A call that came whole."""
        self._calls.append(PartialCall(_word(number), _word(name)))
        self._calls[-1].add("", "", as_text(arguments))

    def take(self, piece: Mapping[str, Any]) -> None:
        """A call of a chunk: whole, or the next piece of one."""
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else piece
        number, name = _word(piece.get("id")), _word(function.get("name"))
        arguments = as_text(function.get("arguments"))
        if not (number or name or arguments):
            return
        index = _index(piece.get("index"))
        call = self._call_of(index, number, name, arguments)
        if call is None:
            call = PartialCall()
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        call.add(number, name, arguments)

    def _call_of(self, index: int | None, number: str, name: str, arguments: str) -> PartialCall | None:
        """The call that a piece belongs to; None: it begins another one."""
        last = self._calls[-1] if self._calls else None
        call = last if index is None else self._by_index.get(index)
        if index is None and number:
            call = next((one for one in reversed(self._calls) if one.id == number), last)
        if call is not None:
            return None if self._begins_another(call, index, number, name, arguments) else call
        if last is None or not (number or name):
            return last
        # An index that counts pieces: the call is the one whose id comes again.
        goes_on = number == last.id and last.is_open and not begins_object(arguments)
        return last if number and goes_on else None

    def _begins_another(self, call: PartialCall, index: int | None, number: str, name: str, arguments: str) -> bool:
        """Whether a piece for the place of a call is another call."""
        if number and call.id and number != call.id:
            if call.is_open and not begins_object(arguments):
                return False  # each piece has an id of its own
            return bool(name) or begins_object(arguments)
        if name in {"", call.name} or not call.name:
            return False  # several calls of the same tool are told apart by their arguments
        if call.text.strip():
            return True
        if call.name in self._offered and name in self._offered:
            return True
        goes_on = any(tool.startswith(call.name + name) for tool in self._offered) or name.startswith(call.name)
        return index is None and not goes_on

    def finish(self, *, cut_off: bool) -> list[ToolCall]:
        """The tool calls in order, each with a unique id.

        Args:
            cut_off: whether the reply ended at its length limit.

        Raises:
            ComponentError: a call makes no sense. Models make mistakes; asked again, they seldom make the same.

        """
        found: list[ToolCall] = []
        taken: set[str] = set()
        whole: set[tuple[str, str, str]] = set()
        for number, name, arguments in self._found(cut_off=cut_off):
            same = number, name, json.dumps(arguments, sort_keys=True)
            if number and same in whole:
                continue  # the same call came twice
            whole.add(same)
            # Results are given back by it, so it must be the call's own; some servers have none, or the same for all.
            own = number if number and number not in taken else f"call_{uuid4().hex[:24]}"
            taken.add(own)
            found.append(ToolCall(own, name, arguments))
        return found

    def _found(self, *, cut_off: bool) -> Iterator[tuple[str, str, Arguments]]:
        for call in self._calls:
            name = self._known(call.name)
            if not name and not call.text.strip():
                continue
            if not name:
                raise ComponentError("called a tool without a name", answered=call.text)
            for at, (called, arguments) in enumerate(self._arguments(call, name, cut_off=cut_off)):
                yield call.id if at == 0 else "", called, arguments

    def _arguments(self, call: PartialCall, name: str, *, cut_off: bool) -> list[tuple[str, Arguments]]:
        texts = [call.text, call.pieces[-1]] if call.grows else [call.text]
        for text in texts:
            try:
                return calls_in(text, name, self._offered)
            except ValueError:
                continue
        raise ComponentError(
            f"called the tool {name} with arguments that are no JSON object",
            answered=call.text,
            hint="the reply reached its length limit: raise max_tokens" if cut_off else "",
        )

    def _known(self, name: str) -> str:
        """The tool's name without what models put around it."""
        bare = name.split("<|", 1)[0].strip()
        for space in NAMESPACES:
            if bare not in self._offered and bare.startswith(space):
                bare = bare.removeprefix(space)
        return bare


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else None
