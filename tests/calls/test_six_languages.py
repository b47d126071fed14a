"""Six languages: where their text is cut, and what of it a synthesiser gets. The corpus lies beside this file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from voicepipe.text.segmenting import Segmenter
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.text.spoken.wording import Wording

CORPUS = [
    pytest.param(path.stem, case, id=f"{path.stem}-{number}")
    for path in sorted((Path(__file__).parent / "corpus").glob("*.yaml"))
    for number, case in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1)
]


def segments(language, *pieces):
    segmenter = Segmenter(language=language)
    return [segment for piece in pieces for segment in segmenter.feed(piece)] + segmenter.finish()


def test_there_are_six_languages():
    assert {param.values[0] for param in CORPUS} == {"en", "de", "es", "zh", "ar", "hi"}


@pytest.mark.parametrize(("language", "case"), CORPUS)
def test_text_is_cut_where_people_pause(language, case):
    assert segments(language, case["text"]) == case["segments"]


@pytest.mark.parametrize(("language", "case"), CORPUS)
@pytest.mark.parametrize("size", [1, 2, 5, 11])
def test_however_it_comes(language, case, size):
    text = case["text"]
    assert segments(language, *(text[at : at + size] for at in range(0, len(text), size))) == case["segments"]


@pytest.mark.parametrize(("language", "case"), CORPUS)
def test_it_is_put_so_that_it_can_be_spoken(language, case):
    wording = Wording(SpeechSettings(language=language))
    assert [wording.spoken(segment) for segment in case["segments"]] == case.get("spoken", case["segments"])
