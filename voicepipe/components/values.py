"""Types of option values beyond text and numbers: secrets, files and directories."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Self

from attrs import field, frozen


class Secret(str):
    """Text that must not be shown: its `repr` is where it came from, `str()` the value.

    Whatever a `${...}` was resolved to is a Secret, in any text field; so is all text of a field whose type
    is Secret. Logs, dumps and digests use `source`.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, value: str, source: str = "***") -> Self:
        """Makes text of `value` that shows itself as `source`: `${DEEPGRAM_API_KEY}`, or `***` for a literal."""
        secret = super().__new__(cls, value)
        secret.source = source
        return secret

    def __repr__(self) -> str:
        return repr(self.source)

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return Secret, (str.__str__(self), self.source)


@frozen
class File:
    """A file that the YAML names, read once: adapters use `content` and never reopen it."""

    path: Path
    """Absolute."""
    content: bytes = field(repr=False)
    """All of it, as it was when the configuration was read."""
    shown: Path | None = field(default=None, eq=False)
    """The path for messages, relative to the user's own path of the YAML file; None: `path`."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return sha256(self.content).hexdigest()

    @property
    def name(self) -> Path:
        """The path for messages."""
        return self.shown or self.path

    def __str__(self) -> str:
        return self.path.name


@frozen
class CaFile(File):
    """A PEM file of trusted certificates: of a private CA, or the server's own.

    An option of this type says whom a connection trusts; `tls_context` makes of it what clients want.
    """


@frozen
class Directory:
    """A directory that the YAML names, such as a Vosk model."""

    path: Path
    """Absolute."""
    fingerprint: str = field(repr=False)
    """SHA-256 over its files' names and contents, in hex."""
    shown: Path | None = field(default=None, eq=False)
    """The path for messages; None: `path`."""

    @property
    def name(self) -> Path:
        """The path for messages."""
        return self.shown or self.path

    def __str__(self) -> str:
        return self.path.name
