r"""Reads files of variables, by the rules of dotenv, and reports every problem with its line and column.

    # a comment, as what follows white space and a # is
    export NAME=value                  # `export` says nothing
    QUOTED="two words\n" # a comment   # in double quotes \n, \t, \" and their like are escapes
    LITERAL='C:\new #1'                # in single quotes only \' and \\ are
    KEY="-----BEGIN KEY-----
    a quoted value may go on in further lines"

The values are those that python-dotenv 1.2 reads; it is not used itself, for it names no column of a mistake and passes
over lines that it does not understand. Three things differ: `${...}` in a value means nothing here, since the YAML has
that; a # that begins a value after white space is a comment; and CRLF within a quoted value is one line feed.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from voicepipe.config.files import Unreadable, read_file
from voicepipe.config.paths import absolute_path
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1 << 20
"""The most bytes of a file: reading more variables would delay calls that are up."""

_BLANK = re.compile(r"[ \t\f\v]*(#[^\n]*)?(?:\n|\Z)")
_SPACE = re.compile(r"[ \t\f\v]*")
_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_REST = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"\s+#.*")
_QUOTED = {'"': re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL), "'": re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)}
_ESCAPES = {'"': re.compile(r"\\[\\'\"abfnrtv]"), "'": re.compile(r"\\[\\']")}
_OPENS = re.compile(r"\n[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*\Z")
"""Text up to a quote that begins the value of a further line, so that it closes no quote."""


def read_env_file(path: Path) -> dict[str, str]:
    """Returns the variables of a file, by name. It blocks: beside calls, use `read_in_thread`.

    Raises:
        ConfigError: the file can't be read, is not a regular file, is larger than 1 MiB, or has lines that are no
            variables; it has every problem, and no value in any message.

    """
    where: tuple[Path, ...] = ()
    try:
        where = (absolute_path(path),)
        content = read_file(where[0], MAX_BYTES)
        text = content.decode("utf-8-sig")
    except Unreadable as error:
        hint = error.hint or "see --env-file"
        raise ConfigError([Problem(Location(path), "", f"the file {error}", hint)], where) from None
    except OSError as error:
        raise ConfigError(
            [Problem(Location(path), "", f"the file can't be found: {error.strerror}", "see --env-file")]
        ) from None
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Location(path, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise ConfigError([Problem(place, "", "the file is not UTF-8", "save it as UTF-8")], where) from None
    variables: dict[str, str] = {}
    if problems := tuple(_read(text.replace("\r\n", "\n").replace("\r", "\n"), path, variables)):
        raise ConfigError(problems, where)
    return variables


class _Mistake(Exception):  # noqa: N818 - becomes a located Problem
    """A mistake in the text, with its offset."""

    def __init__(self, at: int, name: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.at, self.name, self.message, self.hint = at, name, message, hint


def _read(text: str, file: Path, variables: dict[str, str]) -> Iterator[Problem]:
    """Adds all variables to `variables`, and yields each mistake; reading goes on in the next line."""
    first: dict[str, int] = {}
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        begin = _end(_SPACE, text, at)
        try:
            name, value, at = _variable(text, begin)
            if (nul := text.find("\0", begin, at)) >= 0:
                raise _Mistake(nul, name, "contains a NUL character", "remove it: variables can't contain one")  # noqa: TRY301
            if name in first:
                message = f"duplicate variable; first set on line {first[name]}"
                raise _Mistake(begin, name, message, "keep one of the two")  # noqa: TRY301 - one way to report
        except _Mistake as mistake:
            line_begins = text.rfind("\n", 0, mistake.at) + 1
            place = Location(file, text.count("\n", 0, mistake.at) + 1, mistake.at - line_begins + 1)
            yield Problem(place, mistake.name, mistake.message, mistake.hint)
            at = max(at, _end(_REST, text, begin) + 1)
        else:
            first[name] = text.count("\n", 0, begin) + 1
            variables[name] = value


def _variable(text: str, begin: int) -> tuple[str, str, int]:
    """Returns the name and the value of the variable at an offset, and the offset of the next line."""
    match = _NAME.match(text, begin)
    if not match:
        raise _Mistake(
            begin, "", "is not of the form NAME=value", "write NAME=value; lines that begin with # are comments"
        )
    name, at = match[1], _end(_SPACE, text, match.end())
    quote = text[at : at + 1]
    if quote not in _QUOTED:
        end = _end(_REST, text, at)
        return name, _COMMENT.sub("", text[match.end() : end]).strip(), end + 1
    unclosed = _Mistake(at, name, "the quote is not closed", f"end the value with {quote}")
    value = _QUOTED[quote].match(text, at)
    if not value or _OPENS.search(value[1]):
        raise unclosed
    rest = _BLANK.match(text, value.end())
    if not rest:
        if "\n" in value[1]:  # the quote that closes is rather one that opens
            raise unclosed
        escape = f"write \\{quote} for a quote in the value, and white space and # before a comment"
        raise _Mistake(value.end(), name, "unexpected text after the closing quote", escape)
    return name, _ESCAPES[quote].sub(_character, value[1]), rest.end()


def _character(escape: re.Match[str]) -> str:
    return codecs.decode(escape[0], "unicode-escape")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Returns the end of a match at an offset; the patterns match anything."""
    match = pattern.match(text, at)
    return match.end() if match else at
