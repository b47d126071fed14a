"""The pages that are made from the code have everything in them that the code has."""

from __future__ import annotations

import re
from types import ModuleType

import attrs
import pytest
from api import public_api, public_names
from diagram import PLACES, transitions, turns_diagram
from doc_pages import PAGES, ROOT
from pages import made, search_words
from tables import (
    adapter_links,
    adapter_tables,
    developer_table,
    field_table,
    kit_checks,
    kit_faults,
    module_tables,
    turns_table,
)

import voicepipe
from voicepipe import testing
from voicepipe.calls import events
from voicepipe.calls.turns.rules import RULES
from voicepipe.config import call_settings, sections, settings
from voicepipe.config.history_settings import HistorySettings
from voicepipe.text.spoken.settings import SpeechSettings

SECTIONS = [
    sections.SetFile,
    sections.PipelineSection,
    sections.RoleOptions,
    sections.PromptFile,
    sections.RouteSection,
    sections.WhenSection,
    call_settings.TurnsSettings,
    call_settings.EndpointingSettings,
    call_settings.DtmfSettings,
    call_settings.BargeInSettings,
    call_settings.KeyAction,
    call_settings.BudgetsSettings,
    call_settings.SpeechToTextBudgets,
    call_settings.LanguageModelBudgets,
    call_settings.TextToSpeechBudgets,
    settings.RecordingSettings,
    SpeechSettings,
    HistorySettings,
    call_settings.StreamingSettings,
    call_settings.LimitsSettings,
    settings.RedactSettings,
    settings.LoggingSettings,
    call_settings.OnFailure,
    call_settings.TransferTo,
]


def rows(table):
    """The cells of a table's rows; bars in code divide nothing."""
    lines = [re.sub(r"`[^`]*`", lambda code: code[0].replace("|", "\0"), line) for line in table.splitlines()[2:]]
    return [[cell.strip().replace("\0", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("cls", SECTIONS, ids=lambda cls: cls.__name__)
def test_every_key_has_a_row_with_a_meaning(cls):
    name = f"{cls.__module__}:{cls.__name__}"
    table = rows(field_table(name))
    assert [row[0] for row in table] == [f"`{field.name}`" for field in attrs.fields(cls)]
    assert all(kind and default and meaning for _, kind, default, meaning in table)
    page = next(page for page in PAGES if page.name == "configuration.md").read_text(encoding="utf-8")
    assert f"<!-- made: fields {name} -->" in page


def test_the_diagram_has_every_state_and_every_way_between_two():
    drawn = turns_diagram()
    assert drawn.count("<rect") == len(PLACES) == len({state for state, _ in RULES})
    ways = transitions()
    assert drawn.count('<g class="arrow">') == len(ways)
    assert ways["speaking", "interrupted"] == ["SpeechSustained", "ProtectionOver"]
    assert ways["interrupted", "speaking"] == ["Final", "ResumeDue"]
    assert "SpeechBegan" in ways["endpointing", "user_speaking"]
    assert {target for source, target in ways if source == "closing"} == set()


def test_a_row_says_type_default_and_bounds():
    table = {
        key: (kind, default)
        for key, kind, default, _ in rows(field_table("voicepipe.config.call_settings:LimitsSettings"))
    }
    assert table["`max_call_minutes`"] == ("number, more than 0", "`60`")
    assert table["`goodbye`"] == ("text", "`Goodbye.`")


@pytest.mark.parametrize("name", voicepipe.installed().names())
def test_every_adapter_has_a_page_with_its_options(name):
    page = (ROOT / f"docs/reference/adapters/{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert f"<!-- made: adapter {name} -->" in page
    made = adapter_tables(name)
    adapters = [adapter for adapter in voicepipe.installed() if adapter.name == name]
    assert made.count("### ") == len(adapters)
    for adapter in adapters:
        section = made.split(f"### `{name}` ({adapter.role})")[1].split("###")[0]
        assert all(f"| `{field.name}` |" in section for field in attrs.fields(adapter.options))
        assert re.search(rf"^ *{adapter.role}: .*\b{name}\b", page, re.MULTILINE), "it has an example of each role"
    assert f"[`{name}`](adapters/{name}.md)" in adapter_links()


def test_the_table_of_adapters_has_them_all_with_their_roles():
    page = (ROOT / "docs/reference/adapters/index.md").read_text(encoding="utf-8")
    for name in voicepipe.installed().names():
        (row,) = re.findall(rf"^\| \[`{name}`\]\({name}.md\) \|(.*)\|$", page, re.MULTILINE)
        yes = [cell.strip() == "yes" for cell in row.split("|")[:3]]
        assert yes == [voicepipe.installed().get(role, name) is not None for role in ("stt", "llm", "tts")]


def test_every_check_of_the_kit_is_there():
    for role, own in (("stt", "the_words_are_heard"), ("llm", "a_reply_ends_once"), ("tts", "speech_is_audible")):
        made = kit_checks(role)
        assert f"### `{own}`\n" in made
        assert "### `cancelled_anywhere_it_leaves_nothing`\n" in made
        assert "other_faults_are_noticed" not in made
    assert [row[0] for row in rows(kit_faults())] == [f"`{kind}`" for kind in testing.conformance.FAULTS]


def test_the_kit_s_names_are_all_there():
    for package in (testing, testing.conformance):
        headings = re.findall(r"^### `(\w+)`$", public_api(package.__name__), re.MULTILINE)
        modules = {name for name in package.__all__ if isinstance(getattr(package, name), ModuleType)}
        assert sorted(headings) == sorted(set(package.__all__) - modules)


WORDS = {
    "barge-in": "reference/turn-taking",
    "endpointing": "reference/turn-taking",
    "DTMF": "reference/turn-taking",
    "keep-alive": "reference/adapters/deepgram",
    "retention": "how-to/record-calls",
    "recording": "how-to/record-calls",
    "cost": "how-to/record-calls",
    "drain": "how-to/run-as-a-service",
    "failover": "how-to/survive-outages",
    "latency": "how-to/monitor",
    "secrets": "how-to/secrets",
    "rollback": "how-to/roll-back",
    "canary": "reference/routing",
    "time zone": "how-to/opening-hours",
    "Kubernetes": "how-to/run-in-a-container",
    "Asterisk dialplan": "how-to/connect-asterisk",
    "SIP": "how-to/connect-asterisk",
    "ARI": "how-to/asterisk-ari",
    "warm transfer": "how-to/asterisk-ari",
    "WebSocket": "reference/asterisk-websocket",
    "softphone": "how-to/talk-in-the-browser",
    "Whisper": "how-to/servers-you-run",
    "language": "how-to/other-languages",
}
"""Words of the field, and the page that the search shows first for them."""


def test_the_search_knows_the_words_of_the_field():
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    for word, name in WORDS.items():
        assert [page for page, text in pages.items() if word in search_words(text)] == [ROOT / f"docs/{name}.md"], word
        text = re.sub(r"<!--.*?-->", "", pages[ROOT / f"docs/{name}.md"]).lower()
        assert all(part in text for part in re.split(r"[ -]", word.lower())), f"{name} says nothing of {word!r}"


def test_every_rule_of_turn_taking_is_there():
    table = rows(turns_table())
    for (state, event), rule in RULES.items():
        then = (rule.__doc__ or "").split("\n")[0]
        assert any(
            f"`{state}`" in row[0] and row[1].startswith(f"`{event.__name__}`") and row[2] == then for row in table
        )


def test_every_event_is_there_with_its_fields():
    made = module_tables("voicepipe.calls.events")
    for event in (events.CallBegan, events.TurnEnded, events.CallEnded):
        assert f"### `{event.__name__}`\n" in made
        assert developer_table(event) in made


def test_the_api_page_has_each_public_name_under_one_topic():
    """A new public name goes below the topic where a reader would look for it, in docs/reference/api.md."""
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    listed = [name for line in re.findall(r"^<!-- made: api (.*) -->$", page, re.MULTILINE) for name in line.split()]
    assert sorted(listed) == sorted(voicepipe.__all__)
    headings = re.findall(r"^### `(\w+)`$", made(page), re.MULTILINE)
    assert headings == listed


def test_the_api_pages_show_nothing_private_and_no_addresses_in_memory():
    for page in ("api.md", "testing.md"):
        text = made((ROOT / "docs/reference" / page).read_text(encoding="utf-8"))
        assert " at 0x" not in text
        assert re.findall(r"\b_[a-z]\w*", text, re.IGNORECASE) == []


def test_signatures_read_as_they_are_called():
    text = public_names("open_call PipelineSet")
    assert "async with open_call(" in text
    assert "with pin() as Snapshot" in text
    assert "await reload(*, trigger: str = 'api', force: bool = False) -> ReloadOutcome" in text


def test_a_class_that_is_no_record_shows_how_it_is_made():
    text = public_api("voicepipe.wire.websocket")
    assert "```python\nMessages(\n    websocket: Any,\n    *,\n    timeout_s: float,\n    closed: " in text
    assert "\n- `timeout_s`: how long the other side may take nothing" in text
    assert "-> None\n```" not in text.partition("### `Messages`")[2].partition("await send")[0]


def test_signatures_leave_out_defaults_that_are_long():
    kit = public_api("voicepipe.testing.conformance")
    assert "    requests: Sequence[ReplyRequest] = ...,\n" in kit
    assert "    language: str | None = None,\n" in kit
    assert max(map(len, re.findall(r"^    \w+: .* = .*$", kit, re.MULTILINE))) < 120
