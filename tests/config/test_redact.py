"""`redact` of a set's file: what is refused, with its place."""

from __future__ import annotations

import pytest

from voicepipe import ConfigError, PrivateWords, load_config

SET = """\
pipelines:
  default:
    stt: pocketsphinx
    llm: {type: scripted, script: s.yaml}
    tts: espeak
redact:
"""


@pytest.fixture
def load(tmp_path):
    def loaded(redact):
        (tmp_path / "s.yaml").write_text("start: hello\nstates: {hello: {say: Hello.}}\n")
        (tmp_path / "set.yaml").write_text(f"{SET}  {redact}\n")
        return load_config(tmp_path / "set.yaml")

    return loaded


def test_kinds_and_patterns_are_read(load):
    words = load(r"{kinds: [email, keys], patterns: {customer_number: 'K\d{6}'}}").redact.words()
    assert words.kinds == ("email", "keys")
    assert words.replace("K123456 a@b.com") == "[customer number] [e-mail address]"
    assert not PrivateWords()


@pytest.mark.parametrize(
    ("redact", "column", "message"),
    [
        ("kinds: [card_number]", 11, "card_number"),
        ("patterns: {a: '(b'}", 17, "is not a regular expression"),
        ("patterns: {a: 'b*'}", 17, "matches an empty text"),
        ("patterns: {a: '(a+a+)+b'}", 17, "takes too long"),
        ("pattern: {a: b}", 3, "pattern"),
    ],
)
def test_what_is_wrong_has_its_place(load, redact, column, message):
    with pytest.raises(ConfigError) as caught:
        load(redact)
    (problem,) = caught.value.problems
    assert (problem.where.line, problem.where.column) == (7, column)
    assert message in f"{problem.path} {problem.message}"
    assert problem.hint
