"""Readers of the types that only configurations have (`Secret`, `File`, `CaFile`, `Directory`), and their context.

The head of `voicepipe/documents/reading.py` explains contexts and readers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, get_args

from attrs import evolve

from voicepipe.components.secrets import SHORTEST_KEY, Secrets, names_a_secret
from voicepipe.components.tls import fault_of_ca_file
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.files import Files, Unreadable
from voicepipe.config.interpolate import Unresolved, interpolate, is_literal, without_literals
from voicepipe.documents import Context, Cursor, likely, shown
from voicepipe.documents.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.documents.source import Source
    from voicepipe.errors import Location, Problem

_FIRST_SENTENCE = re.compile(r".*?[^.](?=\.(\s|$)|\n|$)", re.DOTALL)
"""The first sentence of a docstring, without its full stop."""


class ConfigContext(Context):
    """The context of a configuration file: environment, files, and the secrets that were found."""

    nouns: ClassVar[Mapping[Any, str]] = {
        **Context.nouns,
        Secret: "text",
        File: "the path of a file",
        CaFile: "the path of a file",
        Directory: "the path of a directory",
    }

    def __init__(
        self, source: Source, *, environ: Mapping[str, str], files: Files, allow_missing: bool = False
    ) -> None:
        super().__init__(source)
        self.environ, self.files = environ, files
        self.secrets = Secrets()
        self.missing: dict[str, None] = {}
        self._allow_missing = allow_missing
        self._unknown: set[Location] = set()

    def resolve(self, cursor: Cursor, scalar: ScalarNode) -> str:
        """Returns the text with `${...}` resolved; a `Secret`, if there was any."""
        if "$" not in scalar.text:
            return scalar.text
        try:
            text = interpolate(scalar.text, self.environ, self._secret_file, self._add_secret)
        except Unresolved as error:
            if not (error.missing and self._allow_missing):
                cursor.refuse(str(error), error.hint)
            self.missing[error.missing] = None
            self._unknown.add(cursor.where)
            return Secret(scalar.text, scalar.text)
        return text if is_literal(scalar.text) else Secret(text, scalar.text)

    def is_literal(self, scalar: ScalarNode) -> bool:
        """True if there is no `${...}` in a scalar."""
        return is_literal(scalar.text)

    def is_reference(self, scalar: ScalarNode) -> bool:
        """True if a scalar consists of `${...}` without defaults."""
        return bool(scalar.text) and without_literals(scalar.text) == scalar.text

    def is_unknown(self, cursor: Cursor) -> bool:
        """True if the value is a `${...}` that can't be resolved on this machine."""
        return cursor.where in self._unknown

    def is_secret(self, of: Any) -> bool:
        """True if a type is `Secret`, or one of its arguments is."""
        return of is Secret or any(map(self.is_secret, get_args(of)))

    def describe_field(self, of: type, name: str) -> tuple[str, str]:
        """Returns a field's bounds and the first sentence of its docstring, as the reference documentation has them."""
        # It reads the source of the class; most files have no problem, and so no need of it.
        from voicepipe.config.describe.fields import describe  # noqa: PLC0415

        described = next(field for field in describe(of).fields if field.name == name)
        bounds = evolve(described.bounds, choices=(), pattern=None)  # the messages themselves have these two
        sentence = _FIRST_SENTENCE.match(described.doc)
        return str(bounds), sentence[0] if sentence else ""

    def report(self, problem: Problem) -> None:
        """Adds a problem, unless it is known already or its value is unknown."""
        if problem.where not in self._unknown:
            super().report(problem)

    def _add_secret(self, value: str, written: str) -> None:
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
            raise Unresolved(f"the file {shown(path)} is not UTF-8", "save the secret as UTF-8 text") from None


def config_context(cursor: Cursor) -> ConfigContext:
    """Returns the context of a cursor; raises `TypeError` for a document that is not a configuration."""
    if not isinstance(cursor.context, ConfigContext):
        raise TypeError("secrets and files are for configurations, not for other documents")
    return cursor.context


def read_secret(cursor: Cursor, _: Any) -> Secret:
    """Returns text that is never shown, even if the YAML holds the value itself; surrounding white space is removed.

    A key from a file or from Kubernetes often ends with a line break. In a mapping `headers` all values are hidden,
    but only those whose names say so are treated as keys.
    """
    is_null = isinstance(cursor.node, ScalarNode) and cursor.node.null
    text = cursor.text(hint="give a value or ${NAME}, or leave it out if it has a default" if is_null else "")
    plain = str(text).strip()
    secret = Secret(plain, without_literals(text.source)) if isinstance(text, Secret) else Secret(plain)
    if cursor.unknown:
        return secret
    in_headers = cursor.parent is not None and cursor.parent.key == "headers"
    key = plain
    if in_headers:
        of_secret = names_a_secret(str(cursor.key)) and plain.isprintable()
        key = plain.rpartition(" ")[2] if of_secret else ""  # after `Bearer` or `Basic`
    elif not plain.isprintable():
        cursor.refuse("contains a line break or another character that no key has", _where_from(secret))
    if key and len(key) < SHORTEST_KEY:
        message = f"is too short for a secret: it has fewer than {SHORTEST_KEY} characters"
        otherwise = ", or leave it out if none is needed" if secret.source == "***" else ""
        cursor.refuse(message, f"use a longer one{otherwise}: so short a text can't be masked in messages")
    if key:
        config_context(cursor).secrets.add(key, secret.source, key=True)
    return secret


def _where_from(secret: Secret) -> str:
    """Returns a hint at the likely cause of a malformed secret."""
    if "${file:" in secret.source:
        return "the file must contain only the key"
    return "check that it was copied completely, and nothing else with it"


def read_file(cursor: Cursor, _: Any) -> File:
    """Returns a file with its content."""
    text = cursor.text("the path of a file")
    try:
        return config_context(cursor).files.file(text)
    except Unreadable as error:
        _unreadable(cursor, text, error)


def read_ca_file(cursor: Cursor, of: Any) -> CaFile:
    """Returns a file of CA certificates; refuses one with a certificate that can't be used."""
    file = read_file(cursor, of)
    if fault := fault_of_ca_file(file.content):
        message, hint = fault
        cursor.refuse(f"{cursor.given} {message}", hint)
    return CaFile(file.path, file.content, file.shown)


def read_directory(cursor: Cursor, _: Any) -> Directory:
    """Returns a directory with its fingerprint."""
    text = cursor.text("the path of a directory")
    try:
        return config_context(cursor).files.directory(text)
    except Unreadable as error:
        _unreadable(cursor, text, error)


def _unreadable(cursor: Cursor, path: str, error: Unreadable) -> NoReturn:
    if not path:
        cursor.refuse("the path is empty", "write it after the colon")
    cursor.refuse(f"{cursor.given} {error}", _nearby(path if cursor.showable else "", error))


def _nearby(path: str, error: Unreadable) -> str:
    """Returns the error's hint, or one from the names of the other files in the directory."""
    if error.hint:
        return error.hint
    name = path.rsplit("/", 1)[-1]
    if guess := likely(name, error.names) if name else None:
        return f"did you mean {shown(path.removesuffix(name) + guess)}?"
    return "check the path; a relative one starts at the directory of the YAML file"
