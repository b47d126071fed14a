"""One reading of a configuration: `${...}` resolved, files read, and the types that plain documents don't have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, get_args

from attrs import evolve

from voicepipe.components.secrets import SHORTEST_KEY, Secrets, names_a_secret
from voicepipe.components.tls import fault_of_ca_file
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.files import Files, Unreadable
from voicepipe.config.interpolate import Unresolved, interpolate, is_literal, without_literals
from voicepipe.documents import Context, Cursor, did_you_mean, likely, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Registry
    from voicepipe.config.resolved import Resolved
    from voicepipe.documents.nodes import Scalar
    from voicepipe.documents.source import Source
    from voicepipe.errors import Location, Problem

_FIRST_SENTENCE = re.compile(r".*?[^.](?=\.(\s|$)|\n|$)", re.DOTALL)
"""Of a docstring, without its full stop."""


class SetContext(Context):
    """What one reading of a pipeline set's file shares."""

    nouns: ClassVar[Mapping[Any, str]] = {
        **Context.nouns,
        Secret: "text",
        File: "the path of a file",
        CaFile: "the path of a file",
        Directory: "the path of a directory",
    }

    def __init__(
        self,
        source: Source,
        *,
        registry: Registry,
        environ: Mapping[str, str],
        files: Files,
        tools: tuple[str, ...],
        allow_missing: bool = False,
    ) -> None:
        super().__init__(source)
        self.allow_missing = allow_missing
        self.missing: dict[str, None] = {}
        self._taken_as_given: set[Location] = set()
        self.registry, self.environ, self.files, self.tools = registry, environ, files, tools
        self.secrets = Secrets()
        self.components: dict[str, Cursor] = {}
        self.used: set[str] = set()
        self.leaves: dict[tuple[Any, ...], list[Any]] = {}
        self.resolved: dict[tuple[Any, ...], Resolved | None] = {}
        self.checked: dict[str, tuple[Problem, ...]] = {}
        self.lacking: dict[tuple[Role, str], tuple[Problem, ...]] = {}

    def about(self, of: type, name: str) -> tuple[str, str]:
        """What a field says of itself, as the reference has it: what is wrong is rare, so nobody waits for it."""
        from voicepipe.config.describe.fields import describe  # noqa: PLC0415 - it reads the class's source

        one = next(field for field in describe(of).fields if field.name == name)
        bounds = evolve(one.bounds, choices=(), pattern=None)  # which messages have
        sentence = _FIRST_SENTENCE.match(one.doc)
        return str(bounds), sentence[0] if sentence else ""

    def forget(self) -> None:
        """Forgets the places that it knows, and they know it: such circles only the garbage collector finds."""
        for known in (self.components, self.leaves, self.resolved):
            known.clear()

    def text(self, place: Cursor, scalar: Scalar) -> str:
        """The text with `${...}` resolved; then it is a `Secret`."""
        if "$" not in scalar.text:
            return scalar.text
        try:
            text = interpolate(scalar.text, self.environ, self._secret_file, self._resolved)
        except Unresolved as error:
            if not (error.missing and self.allow_missing):
                place.refuse(str(error), error.hint)
            self.missing[error.missing] = None
            self._taken_as_given.add(place.where)
            return Secret(scalar.text, scalar.text)
        return text if is_literal(scalar.text) else Secret(text, scalar.text)

    def report(self, problem: Problem) -> None:
        """Adds a problem, once; nothing is said against a value that is taken as given."""
        if problem.where not in self._taken_as_given:
            super().report(problem)

    def unknown(self, place: Cursor) -> bool:
        """Whether the value that belongs there is not at hand."""
        return place.where in self._taken_as_given

    def literal(self, scalar: Scalar) -> bool:
        """Whether there is no `${...}` in it."""
        return is_literal(scalar.text)

    def refers(self, scalar: Scalar) -> bool:
        """Whether there is nothing but `${...}` in it, without defaults."""
        return bool(scalar.text) and without_literals(scalar.text) == scalar.text

    def hides(self, of: Any) -> bool:
        """Whether it is `Secret`, or may hold one."""
        return of is Secret or any(map(self.hides, get_args(of)))

    def _resolved(self, value: str, written: str) -> None:
        key = written.startswith("${file:") or names_a_secret(written.strip("${}"))
        self.secrets.add(value, written, key=key)

    def _secret_file(self, path: str) -> str:
        try:
            content = self.files.secret(path).content
        except Unreadable as error:
            missing = f"${{file:{path}}}" if error.absent else ""
            raise Unresolved(f"the file {shown(path)} {error}", _nearby(path, error), missing=missing) from None
        try:
            return content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise Unresolved(f"the file {shown(path)} is not UTF-8", "a secret is text") from None


def set_context(place: Cursor) -> SetContext:
    """The reading that a place of a configuration belongs to."""
    if not isinstance(place.reading, SetContext):
        raise TypeError("secrets, files and references are for configurations, not for other documents")
    return place.reading


def secret_hook(place: Cursor, _: Any) -> Secret:
    """Text that is never shown, even where it stands in the YAML as it is; without white space around it.

    A key that was kept in a file or in Kubernetes comes with a line break at its end as often as not. In a mapping
    `headers` all values are hidden, but only those are keys whose names say so.
    """
    text = place.text()
    plain = str(text).strip()
    secret = Secret(plain, without_literals(text.source)) if isinstance(text, Secret) else Secret(plain)
    reading = set_context(place)
    if reading.unknown(place):
        return secret
    in_headers = place.parent is not None and place.parent.key == "headers"
    key = plain
    if in_headers:
        of_secret = names_a_secret(str(place.key)) and plain.isprintable()
        key = plain.rpartition(" ")[2] if of_secret else ""  # after `Bearer` or `Basic`
    elif not plain.isprintable():
        place.refuse("has a line break or another character in it that is in no key", _where_from(secret))
    if key and len(key) < SHORTEST_KEY:
        message = f"is too short for a secret: it has fewer than {SHORTEST_KEY} characters"
        otherwise = ", or leave it out where none is needed" if secret.source == "***" else ""
        place.refuse(message, f"use a longer one{otherwise}: a part of other words can't be kept out of messages")
    if key:
        reading.secrets.add(key, secret.source, key=True)
    return secret


def _where_from(secret: Secret) -> str:
    """A hint where to look for what is wrong with a secret."""
    if "${file:" in secret.source:
        return "the file must hold the key and nothing else"
    return "was it copied whole, and nothing with it?"


def file_hook(place: Cursor, _: Any) -> File:
    """A file, read."""
    text = place.text("the path of a file")
    try:
        return set_context(place).files.file(text)
    except Unreadable as error:
        _unreadable(place, text, error)


def ca_file_hook(place: Cursor, of: Any) -> CaFile:
    """A file of CA certificates, read, each of which can be used."""
    file = file_hook(place, of)
    if fault := fault_of_ca_file(file.content):
        message, hint = fault
        place.refuse(f"{place.given} {message}", hint)
    return CaFile(file.path, file.content, file.shown)


def directory_hook(place: Cursor, _: Any) -> Directory:
    """A directory, with its fingerprint."""
    text = place.text("the path of a directory")
    try:
        return set_context(place).files.directory(text)
    except Unreadable as error:
        _unreadable(place, text, error)


def tool_hook(place: Cursor, _: Any) -> Any:
    """The name of a tool that is known."""
    text, known = place.text(), set_context(place).tools
    if text not in known:
        place.refuse(f"there is no tool {place.given}", did_you_mean(text, known, "tools"))
    return str(text)


def _unreadable(place: Cursor, path: str, error: Unreadable) -> NoReturn:
    if not path:
        place.refuse("the path is empty", "write it after the colon")
    place.refuse(f"{place.given} {error}", _nearby(path if place.showable else "", error))


def _nearby(path: str, error: Unreadable) -> str:
    """A hint from the error, or from what else is in the directory."""
    if error.hint:
        return error.hint
    name = path.rsplit("/", 1)[-1]
    if guess := likely(name, error.names) if name else None:
        return f"did you mean {shown(path.removesuffix(name) + guess)}?"
    return "is the path right? relative ones start at the directory of the YAML file"
