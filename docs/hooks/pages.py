# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""What MkDocs does besides: pages made from the code, and pages for the files that our pages link to.

`<!-- made: NAME ARGUMENT -->` in a page is replaced by what the function of that name in `MAKERS` returns. Links
that lead out of `docs/` to a file of the repository lead to a page that shows that file, so that the built pages
are whole without a network.

`<!-- search: WORDS, MORE WORDS -->` in a page names words for which the site's search shows that page first.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from alerts import alerts_table
from api import public_api, public_names
from database import database_table
from diagram import turns_diagram
from links import Linked, rewrite_links, source_page
from mkdocs.structure.files import File
from tables import (
    adapter_links,
    adapter_tables,
    field_table,
    kit_checks,
    kit_faults,
    module_tables,
    shown_events,
    transport_tables,
    turns_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that stand at the top of the repository, with their names in the built documentation."""

MAKERS: dict[str, Callable[[str], str]] = {
    "fields": field_table,
    "adapter": adapter_tables,
    "adapters": adapter_links,
    "transports": transport_tables,
    "checks": kit_checks,
    "faults": kit_faults,
    "module": module_tables,
    "shown_events": shown_events,
    "turns": lambda _: turns_table(),
    "turns_diagram": lambda _: turns_diagram(),
    "alerts": alerts_table,
    "database": database_table,
    "api": public_names,
    "package": public_api,
}

MADE = re.compile(r"^<!-- made: (?P<name>\w+) ?(?P<argument>.*?) -->$", re.MULTILINE)

SEARCH = re.compile(r"^<!-- search: (?P<words>.*) -->$", re.MULTILINE)


def made(markdown: str) -> str:
    """The page with everything in it that is made from the code."""
    return MADE.sub(lambda match: MAKERS[match["name"]](match["argument"]), markdown)


def search_words(markdown: str) -> list[str]:
    """The words and phrases for which the search shows the page first."""
    return [word.strip() for match in SEARCH.finditer(markdown) for word in match["words"].split(",")]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in `docs/`: the repository's own, and each file that a page links to."""
    written = {f"docs/{file.src_uri}": (ROOT / "docs" / file.src_uri) for file in files.documentation_pages()}
    written |= {name: ROOT / name for name in TOP}
    linked: set[Linked] = set()
    for name, path in written.items():
        text = rewrite_links(path.read_text(encoding="utf-8"), name, TOP, linked.add)
        if name in TOP:
            files.append(File.generated(config, TOP[name], content=text))
    linked |= {file for one in linked for file in one.files(ROOT)}
    for one in sorted(linked):
        files.append(File.generated(config, one.page, content=source_page(ROOT, one)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' signature
    """The page as it is shown."""
    if page.file.generated_by:
        return markdown
    if words := search_words(markdown):
        page.meta["tags"] = words  # a field of the search index, of more weight than titles
    return rewrite_links(made(markdown), f"docs/{page.file.src_uri}", TOP, lambda _linked: None)
