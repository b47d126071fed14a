"""Checks the names in braces of texts that are said and of prompts: `{caller}`, `{variables.customer}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.components.templates import NAMES, VARIABLE, is_name, places_in, spaced_places_in
from voicepipe.components.values import File, Secret
from voicepipe.documents import Refused, entries_of, likely
from voicepipe.documents.nodes import ScalarNode
from voicepipe.documents.source import Source
from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.config.settings import PipelineSettings
    from voicepipe.documents import Cursor


_KNOWN = "values: " + ", ".join((*NAMES, "variables.NAME"))

VALUES = f"{_KNOWN}; write {{{{name}}}} for the text {{name}}"
"""A hint with the names that there are."""


def check_texts(root: Cursor) -> None:
    """Reports names in braces that stand for nothing, in every text that a call puts its values into."""
    for cursor in _texts(root):
        check_text(cursor)
    for cursor in _targets(root):
        node = cursor.node
        if isinstance(node, ScalarNode) and any(is_name(place.name) for place in places_in(node.text)):
            hint = "write the number: a caller who chose it could make the agent dial any other"
            cursor.report("is a target of a transfer, which can't be a value of the call", hint)
    files: dict[str, Cursor] = {}  # a prompt that a thousand pipelines share is read once
    for pipeline in entries_of(entries_of(root).get("pipelines")).values():
        file = entries_of(entries_of(pipeline).get("prompt")).get("file")
        if file is not None and isinstance(file.node, ScalarNode):
            files.setdefault(file.node.text, file)
    for file in files.values():
        _check_file(file)


def fault_of(name: str) -> tuple[str, str]:
    """Returns the message and the hint for a name in braces that there is not."""
    close = likely(name, (*NAMES, "variables.NAME"))
    guess = f"did you mean {{{close}}}? " if close else f"write {{{VARIABLE}{name}}} for a variable of the call; "
    return f"there is no value {{{name}}}", f"{guess}{_KNOWN}; write {{{{{name}}}}} for the text {{{name}}}"


def faults_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields the index, the message and the hint of each mistake in a text with names in braces."""
    for place in places_in(text):
        if not is_name(place.name):
            yield (place.begins, *fault_of(place.name))
    for begins, written, name in spaced_places_in(text):
        yield begins, f"{written} is no value, because of the spaces in it", f"write {{{name}}}"


def _texts(root: Cursor) -> Iterator[Cursor]:
    """Yields the cursors of all texts; also those of another type, which their readers report."""
    entries = entries_of(root)
    for pipeline in entries_of(entries.get("pipelines")).values():
        own = entries_of(pipeline)
        actions = entries_of(own.get("keys")).values()
        of_actions = (entries_of(action).get("say") for action in actions)
        said = (own.get("prompt"), own.get("greeting"), entries_of(own.get("on_failure")).get("say"), *of_actions)
        yield from filter(None, said)
        yield from _of_recording(own)
    yield from _of_recording(entries)
    limits = entries_of(entries.get("limits"))
    fillers = (entries_of(tool).get("filler") for tool in entries_of(entries.get("tools")).values())
    yield from filter(None, (limits.get("warning"), limits.get("goodbye"), *fillers))


def _of_recording(entries: Mapping[str, Cursor]) -> Iterator[Cursor]:
    recording = entries_of(entries.get("recording"))
    return filter(None, (recording.get("announcement"), recording.get("question")))


def check_consent(root: Cursor, pipelines: Mapping[str, PipelineSettings]) -> None:
    """Reports pipelines that announce recordings, or ask for consent, in a language that has no text of its own."""
    entries, reported = entries_of(root), set()
    for name, pipeline in pipelines.items():
        recording, language = pipeline.recording, pipeline.speech.language
        if not recording.directory or recording.consent == "none" or recording.consent_text(language) is not None:
            continue
        own = entries_of(entries_of(entries_of(entries.get("pipelines")).get(name)).get("recording"))
        place = own.get("consent") or entries_of(entries.get("recording"))["consent"]
        if place.where not in reported:
            reported.add(place.where)
            key = "question" if recording.consent == "ask" else "announcement"
            message = f"needs a text: voicepipe has none in the language {language} (speech.language)"
            place.report(message, f"set recording.{key}: to what the caller hears")


def _targets(root: Cursor) -> Iterator[Cursor]:
    """Yields the cursors of the targets of transfers, which are dialled as they are written."""
    for pipeline in entries_of(entries_of(root).get("pipelines")).values():
        own = entries_of(pipeline)
        then = entries_of(entries_of(own.get("on_failure")).get("then"))
        actions = entries_of(own.get("keys")).values()
        targets = (then.get("transfer"), *(entries_of(action).get("transfer") for action in actions))
        yield from filter(None, targets)


def check_text(cursor: Cursor) -> None:
    """Reports names in braces that stand for nothing in one text."""
    if not isinstance(cursor.node, ScalarNode) or "{" not in cursor.node.text:
        return
    try:
        text = cursor.trial().text()
    except Refused:
        return
    # Of a text with `${...}` only what the file itself has is checked: a message must not quote a secret.
    node = cursor.node
    written = node.text if isinstance(text, Secret) else str(text)
    for begins, message, hint in faults_in(written):
        line, column = cursor.context.source.find(node, written[begins:].partition("}")[0] + "}")
        cursor.report(message, hint, where=Location(cursor.where.file, line, column))


def _check_file(cursor: Cursor) -> None:
    try:
        file: File = cursor.trial().read(File)
        text = file.content.decode("utf-8-sig")
    except (Refused, UnicodeDecodeError):
        return
    source = Source(text, file.name)
    for begins, message, hint in faults_in(text):
        before = text[:begins]
        line = before.count("\n") + 1
        where = Location(file.name, line, begins - before.rfind("\n"))
        problem = Problem(where, "", message, hint, source=source.line(line))
        cursor.context.report(problem)
