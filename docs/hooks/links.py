# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""Links between pages and into the repository."""

from __future__ import annotations

import re
from os.path import normpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LINK = re.compile(
    r"(?P<code>^(?P<fence> *(?:`{3,}|~{3,})).*?^(?P=fence)\s*?$|`[^`\n]+`)"
    r"|(?P<head>!?\[[^\]]*\]\()(?P<target>[^)#\s]+)(?P<tail>(?:#[^)\s]*)?\))",
    re.MULTILINE | re.DOTALL,
)
"""A Markdown link or picture that leads out of its page; or code, where nothing is a link."""

LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash", ".md": "markdown", ".service": "ini"}


@frozen(order=True)
class Linked:
    """A file or directory of the repository that a page links to."""

    path: str
    """From the top of the repository."""

    @property
    def page(self) -> str:
        """The page that shows it, in the built documentation."""
        return f"source/{self.path}.md"

    def files(self, root: Path) -> tuple[Linked, ...]:
        """What is in it, if it is a directory."""
        inside = sorted((root / self.path).iterdir()) if (root / self.path).is_dir() else []
        shown = (file for file in inside if file.is_file() and not file.name.startswith("."))
        return tuple(Linked(f"{self.path}/{file.name}") for file in shown)


def links_in(markdown: str) -> Iterator[str]:
    """The targets of all links that are not in code."""
    return (match["target"] for match in LINK.finditer(markdown) if match["target"])


def rewrite_links(markdown: str, name: str, top: Mapping[str, str], found: Callable[[Linked], None]) -> str:
    """The page with its links as they must be in the built documentation.

    Args:
        markdown: the page.
        name: where it is in the repository: `docs/how-to/embed.md`.
        top: pages outside `docs/`, with their places in the built documentation.
        found: is told of every link to a file that is no page.

    """
    here = PurePosixPath(name).parent
    built = _built(name, top).parent

    def replace(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = normpath(here / target)
        if path not in top and not path.startswith("docs/"):
            found(Linked(path))
        leads_to = _relative(_built(path, top), built)
        return f"{match['head']}{leads_to}{match['tail']}"

    return LINK.sub(replace, markdown)


def _built(path: str, top: Mapping[str, str]) -> PurePosixPath:
    if path in top:
        return PurePosixPath(top[path])
    if path.startswith("docs/"):
        return PurePosixPath(path.removeprefix("docs/"))
    return PurePosixPath(Linked(path).page)


def _relative(path: PurePosixPath, start: PurePosixPath) -> str:
    up = 0
    while not path.is_relative_to(start):
        start, up = start.parent, up + 1
    return "../" * up + str(path.relative_to(start))


def source_page(root: Path, linked: Linked) -> str:
    """A page that shows a file, or lists a directory's files."""
    path = root / linked.path
    # Pages that only show files would drown the search.
    head = f"---\nsearch:\n  exclude: true\n---\n\n# {linked.path}\n\n"
    if files := linked.files(root):
        names = [file.path.removeprefix(f"{linked.path}/") for file in files]
        return head + "".join(f"- [{name}]({path.name}/{name}.md)\n" for name in names)
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"{head}A binary file of {len(content):,} bytes.\n"
    return f"{head}````{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n````\n"
