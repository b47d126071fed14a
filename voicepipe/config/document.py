"""Reads a YAML file of a program's own settings, in which `${...}` and paths work as in a pipeline set's file.

document = read_document(Path("engine.yaml"))
settings = document.structure(EngineSettings)        # a frozen attrs class
problem = document.problem(("listeners", 0, "set"), "there is no such set", "sets: main")

`load` reads the files of pipeline sets, which have references and tools besides.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.files import Files, Unreadable
from voicepipe.config.paths import NO_PATH_HINT, why_no_path
from voicepipe.config.reading import ConfigContext, config_context, read_ca_file, read_directory, read_file, read_secret
from voicepipe.config.typed_sections import TypedSection, read_typed
from voicepipe.documents import Cursor, Document, converter_with, did_you_mean, parse_document
from voicepipe.documents.nodes import MappingNode, SequenceNode
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.documents.nodes import Node
    from voicepipe.documents.scalars import Reader

T = TypeVar("T")


class ConfigDocument:
    """A YAML file that was parsed, but not yet read as a type; made by `read_document`.

    It becomes an attrs class whose fields are texts, numbers, booleans, `Literal` texts, other attrs classes,
    `tuple[T, ...]` for lists, `Mapping[str, T]`, unions of those, or `Secret`, `File`, `CaFile`, `Directory` or `Path`.
    `${NAME}` and `${file:path}` are resolved. A `Path` is relative to the file's directory, and need not exist.
    """

    def __init__(self, document: Document, files: Files, environ: Mapping[str, str]) -> None:
        self._document, self._files, self._environ = document, files, environ

    @property
    def files(self) -> tuple[Path, ...]:
        """The absolute paths of all files that were read so far, the YAML first; a watcher watches them."""
        return (self._files.absolute, *self._files.paths)

    def keys_at(self, *at: str | int) -> tuple[str, ...]:
        """Returns the keys of the mapping at a path; empty if there is no mapping."""
        node = self._node_at(at)
        return tuple(node.entries) if isinstance(node, MappingNode) else ()

    def length_at(self, *at: str | int) -> int:
        """Returns the length of the list at a path; 0 if there is no list."""
        node = self._node_at(at)
        return len(node.items) if isinstance(node, SequenceNode) else 0

    def structure(self, cls: type[T], typed: TypedSection | None = None) -> T:
        """Returns the document as an instance of an attrs class.

        Args:
            cls: the class.
            typed: a class in it whose `type` decides on further keys; None: there is none.

        Raises:
            ConfigError: with every problem of the document.

        """
        return self._document.structure(cls, self._context(typed))

    def take(self, at: tuple[str | int, ...], of: type[T]) -> T | None:
        """Returns the value at a path as a type, for checks across fields; None if there is none, or it is refused."""
        context = self._context()

        def read() -> Any:
            cursor = Cursor(context, self._document.root)
            for step in at:
                cursor = cursor.items()[step] if isinstance(step, int) else cursor.entries()[step]
            return cursor.read(of)

        try:
            value: T = context.run(read)
        except (ConfigError, LookupError):
            return None
        return value

    def problem(self, at: tuple[str | int, ...], message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Returns a problem of the value at a path (with `key`: of its key), for checks that types can't make."""
        return self._document.problem(at, message, hint, key=key)

    def _node_at(self, at: tuple[str | int, ...]) -> Node | None:
        node: Node | None = self._document.root
        for step in at:
            if isinstance(node, MappingNode) and step in node.entries:
                node = node.entries[str(step)][1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
            else:
                return None
        return node

    def _context(self, typed: TypedSection | None = None) -> ConfigContext:
        context = _DocumentContext if typed is None else _context_with(typed)
        return context(self._document.source, environ=self._environ, files=self._files)


def read_document(path: Path, *, environ: Mapping[str, str] | None = None) -> ConfigDocument:
    """Returns the YAML document in a file.

    Args:
        path: the file, as messages are to name it.
        environ: the variables for `${NAME}`; None: the process's environment.

    Raises:
        ConfigError: the file can't be read or parsed; problems of values are raised when it is structured.

    """
    try:
        files = Files(path)
        content = files.configuration()
    except Unreadable as error:
        nearby = [name for name in error.names if name.endswith((".yaml", ".yml"))]
        hint = error.hint or did_you_mean(path.name, nearby, "YAML files in that directory")
        raise ConfigError([Problem(Location(path), "", f"the file {error}", hint)]) from None
    return ConfigDocument(parse_document(content, path), files, os.environ if environ is None else environ)


def _read_path(cursor: Cursor, _: Any) -> Path:
    text = cursor.text("a path")
    if not text:
        cursor.refuse("the path is empty", "write it after the colon")
    if why := why_no_path(text):
        cursor.refuse(f"the path {why}", NO_PATH_HINT)
    return config_context(cursor).source.name.parent / text


_READERS: Mapping[Any, Reader] = {
    Secret: read_secret,
    File: read_file,
    CaFile: read_ca_file,
    Directory: read_directory,
    Path: _read_path,
}


class _DocumentContext(ConfigContext):
    converter = converter_with(_READERS)
    nouns: ClassVar[Mapping[Any, str]] = {**ConfigContext.nouns, Path: "a path"}


def _context_with(typed: TypedSection) -> type[_DocumentContext]:
    """Returns the class of a context that also reads a typed section."""

    class TypedContext(_DocumentContext):
        converter = converter_with({**_READERS, typed.section: read_typed(typed)})

    return TypedContext
