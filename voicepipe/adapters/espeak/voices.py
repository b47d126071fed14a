"""The voices of espeak-ng, found by reading their files, without the library, which holds global state."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class UnknownVoice(LookupError):  # noqa: N818 - a look-up that failed, and its message for the user
    """There is no such voice; the arguments are a message with the unknown part, and a hint with similar names."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


def find_voice(data: Path, voice: str) -> str:
    """Returns the library's name of a voice: `gmw/en+f3` for `en-gb+f3`.

    A voice is given by a language's code (`en-us`), its file's name, or the name in that file (`English (America)`),
    and may have a variant after a plus sign. Case is ignored.

    Args:
        data: the directory `espeak-ng-data`.
        voice: the voice as the operator wrote it.

    Raises:
        UnknownVoice: there is no such voice or variant.

    """
    name, plus, variant = voice.partition("+")
    voices = _voices(data / "lang")
    if name.lower() not in voices:
        raise UnknownVoice(f"there is no voice {name!r}", _similar(name, voices, "en-us, en-gb, de, fr, es"))
    if not plus:
        return voices[name.lower()]
    variants = {file.name.lower(): file.name for file in (data / "voices" / "!v").iterdir()}
    if variant.lower() not in variants:
        raise UnknownVoice(
            f"there is no variant {variant!r} of a voice", _similar(variant, variants, "f1 to f5, m1 to m8")
        )
    return f"{voices[name.lower()]}+{variants[variant.lower()]}"


@cache  # an installed package's files do not change, and a long configuration looks up each of its voices
def _voices(lang: Path) -> dict[str, str]:
    """The path below `lang` of each voice's file, by each of its names in lower case."""
    # Several voices share a language's code, each with a priority; the lowest wins, and a file's name wins over all.
    ranked: dict[str, tuple[int, str]] = {}
    for file in sorted(file for file in lang.rglob("*") if file.is_file()):
        path = file.relative_to(lang).as_posix()
        names = [(0, file.name), (0, path)]
        for line in file.read_text(encoding="utf-8").splitlines():
            match line.split():
                case ["name", *words]:
                    names.append((0, " ".join(words)))
                case ["language", code]:
                    names.append((5, code))
                case ["language", code, priority, *_] if priority.isdecimal():
                    names.append((int(priority), code))
        for rank, name in names:
            ranked[name.lower()] = min(ranked.get(name.lower(), (rank, path)), (rank, path))
    return {name: path for name, (_rank, path) in ranked.items()}


def _similar(name: str, known: Iterable[str], usual: str) -> str:
    close = get_close_matches(name.lower(), [voice for voice in known if "/" not in voice], n=4, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"among others there are {usual}"
