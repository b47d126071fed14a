"""Parses YAML: makes a tree of nodes from the bytes of a file, whatever the document is for.

The parser's events are composed here rather than by PyYAML, because its C builder can neither be bounded
(depth, size, aliases) nor asked which scalars were quoted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from voicepipe.documents.nodes import MappingNode, Node, ScalarNode, SequenceNode
from voicepipe.documents.suggestions import path_of, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 2 << 20
"""A file of 1,000 pipelines has half a megabyte."""
MAX_DEPTH = 64
"""Levels of nesting; a configuration has six."""
MAX_NODES = 100_000
"""Keys and values, aliases written out; 1,000 pipelines have 40,000."""
MAX_PROBLEMS = 1000
"""After so many nobody reads on."""

LINE_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
"""The line breaks of YAML 1.1, by which the parser's marks count lines."""
UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
"""Characters that YAML 1.1 forbids in a stream (the complement of c-printable)."""

Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, or the pure one where PyYAML was built without it: 20 times slower, same events."""


def decode_text(content: bytes, name: Path) -> str:
    """Returns the text of a file, without a byte order mark.

    Raises:
        ConfigError: it is too large, not UTF-8, holds control characters, or nothing at all.

    """
    if len(content) > MAX_BYTES:
        raise _refused(name, f"is larger than {MAX_BYTES >> 20} MiB", "split it, or move long texts to files")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        lines = LINE_BREAK.split(content[: error.start].decode())
        message = f"is not UTF-8: byte 0x{content[error.start]:02x}"
        raise _refused(name, message, "save the file as UTF-8", line=len(lines), column=len(lines[-1]) + 1) from None
    text = text.removeprefix("\ufeff")
    if match := UNPRINTABLE.search(text):
        lines = LINE_BREAK.split(text[: match.start()])
        message = f"contains the control character U+{ord(match[0]):04X}"
        raise _refused(name, message, "remove it", line=len(lines), column=len(lines[-1]) + 1)
    return text


def compose(text: str, name: Path) -> tuple[Node, list[Problem]]:
    """Returns the root node, and the problems that leave the rest of the document readable.

    Raises:
        ConfigError: a syntax error, an empty file, several documents, or more than the bounds above.

    """
    builder = _TreeBuilder(text, name)
    try:
        return builder.document(), builder.problems
    except yaml.MarkedYAMLError as error:
        raise ConfigError([*builder.problems, _syntax(error, text, name)]) from None
    finally:
        builder.parser.dispose()


class _TreeBuilder:
    """Makes nodes of the parser's events, depth first."""

    def __init__(self, text: str, name: Path) -> None:
        self.parser = Parser(text)
        self.name = name
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node | None] = {}
        self._count = 0
        self._keys: list[str | int] = []

    def document(self) -> Node:
        parser = self.parser
        parser.get_event()  # the stream's start
        if parser.check_event(yaml.StreamEndEvent):
            raise _empty(self.name)
        parser.get_event()  # the document's start
        root = self._node(parser.get_event(), 0)
        parser.get_event()  # the document's end
        event: Any = parser.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._stop(
                event, "the file has a second document", "remove the `---`, or move what follows to its own file"
            )
        if isinstance(root, ScalarNode) and root.plain and not root.text:
            raise _empty(self.name)  # an empty document has no location; the parser's may be beyond the last line
        return root

    def _node(self, event: Any, depth: int) -> Node:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._count += 1
        if self._count > MAX_NODES:
            raise self._stop(event, f"the file has more than {MAX_NODES:,} keys and values", "split it")
        if event.tag is not None:
            self._report(event, f"unsupported tag {shown(event.tag)}", "remove the tag")
        if isinstance(event, yaml.ScalarEvent):
            end: Any = event.end_mark
            plain = not event.style
            node: Node = ScalarNode(event.value, plain, line, column, end.line + 1, end.column + 1)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
            return node
        if depth == MAX_DEPTH:
            raise self._stop(
                event, f"more than {MAX_DEPTH} levels of nesting", "reduce the nesting: no setting needs so many levels"
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.SequenceStartEvent):
            node = SequenceNode([], line, column)
            self._sequence(node, depth + 1)
        else:
            node = MappingNode({}, line, column)
            self._mapping(node, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self, into: SequenceNode, depth: int) -> None:
        while not isinstance(event := self.parser.get_event(), yaml.SequenceEndEvent):
            self._keys.append(len(into.items))
            node = self._node(event, depth)
            self._keys.pop()
            into.items.append(node)
            self._grow(into, node, event)

    def _mapping(self, into: MappingNode, depth: int) -> None:
        entries = into.entries
        while not isinstance(event := self.parser.get_event(), yaml.MappingEndEvent):
            key = self._node(event, depth)
            self._keys.append(key.text if isinstance(key, ScalarNode) else "?")
            value_event = self.parser.get_event()
            value = self._node(value_event, depth)
            self._grow(into, value, value_event)
            if not isinstance(key, ScalarNode) or key.null:
                into.sound = False
                self._report(
                    event, "a key must be text", "write `name: value`, and put a name such as null into quotes"
                )
            elif key.text == "<<" and key.plain:
                into.sound = False
                self._report(event, "merge keys (`<<`) are not supported", "write the keys out here")
            elif (first := entries.get(key.text)) is not None:
                again = f"duplicate key {shown(key.text)}; first defined on line {first[0].line}"
                self._report(event, again, "keep one of the two")
            else:
                if isinstance(value, ScalarNode) and not value.text and value.plain and value_event.anchor is None:
                    value.line, value.column = key.line, key.column  # an empty value has no location of its own
                entries[key.text] = (key, value)
            self._keys.pop()

    def _alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self._anchors:
            anchor = shown("&" + event.anchor)
            hint = f"write {anchor} before the value that it refers to; text that begins with * needs quotes"
            raise self._stop(event, f"unknown anchor {anchor}", hint)
        node = self._anchors[event.anchor]
        if node is None:
            raise self._stop(
                event,
                f"alias {shown('*' + event.anchor)} refers to a value that contains it",
                "replace it with the value itself",
            )
        if depth + node.height > MAX_DEPTH:
            raise self._stop(
                event, f"more than {MAX_DEPTH} levels of nesting", "reduce the nesting: no setting needs so many levels"
            )
        return node

    def _grow(self, parent: SequenceNode | MappingNode, child: Node, event: Any) -> None:
        parent.size += child.size
        if parent.size > MAX_NODES:
            message = f"the file has more than {MAX_NODES:,} keys and values with its aliases written out"
            raise self._stop(event, message, "use fewer aliases")
        if child.height >= parent.height:
            parent.height = child.height + 1

    def _report(self, event: Any, message: str, hint: str) -> None:
        where = Location(self.name, event.start_mark.line + 1, event.start_mark.column + 1)
        if len(self.problems) == MAX_PROBLEMS:
            raise ConfigError([*self.problems, too_many(where)])
        self.problems.append(Problem(where, path_of(self._keys), message, hint))

    def _stop(self, event: Any, message: str, hint: str) -> ConfigError:
        self._report(event, message, hint)
        return ConfigError(self.problems)


def too_many(where: Location) -> Problem:
    """Returns the problem that stands for all further ones."""
    return Problem(
        where, "", f"more than {MAX_PROBLEMS:,} problems; the rest are not shown", "fix those above and check again"
    )


def _refused(name: Path, message: str, hint: str, *, line: int = 1, column: int = 1) -> ConfigError:
    return ConfigError([Problem(Location(name, line, column), "", f"the file {message}", hint)])


def _empty(name: Path) -> ConfigError:
    return _refused(name, "is empty", "write at least one line of `key: value`")


def _syntax(error: yaml.MarkedYAMLError, text: str, name: Path) -> Problem:
    """A syntax error in the parser's words, where its author would look for it."""
    problem, context = error.problem or "can't be parsed", error.context
    mark: Any = error.problem_mark
    begun = error.context_mark
    lines = LINE_BREAK.split(text)
    message = f"not YAML: {problem}"
    if context and begun is not None:
        message += f", {context} that begins on line {begun.line + 1}"
        if "end of stream" in problem or not "".join(lines[mark.line :]).strip():
            mark = begun  # the end of the file is no help: what was not closed is
    line = min(mark.line, len(lines) - 1) if mark else 0
    column = min(mark.column, len(lines[line])) if mark else 0
    return Problem(Location(name, line + 1, column + 1), "", message, _syntax_hint(problem, lines[line]))


def _syntax_hint(problem: str, line: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if "${" in line and "did not find expected ',' or" in problem:
        return 'inside {...} and [...] put "${...}" into quotes'
    hints = (hint for part, hint in _SYNTAX_HINTS.items() if part in problem)
    return next(hints, "look at the indentation, and at the line before")


_SYNTAX_HINTS = {
    "<document start>": "everything in a file belongs to one mapping, of `key: value` lines",
    "end of stream": "a quote or bracket is not closed",
    "tab": "indent with spaces, not tabs",
    "mapping values are not allowed": "text that holds `: ` needs quotes; keys of one mapping are indented alike",
    "cannot start any token": "text that begins with a special character needs quotes",
    "did not find expected ',' or": "a comma or a closing bracket is missing, or text in brackets needs quotes",
    "escape": "a backslash is literal within 'single quotes'",
}
