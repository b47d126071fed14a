"""Secrets' values, taken out of what quotes them."""

from __future__ import annotations

import html
import json
import pickle
from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.components.quoted_keys import MOST_OF_FRAGMENT
from voicepipe.components.secrets import SHORTEST, RecentSecrets, Secrets
from voicepipe.config.interpolate import without_literals

texts = st.text(min_size=SHORTEST).filter(lambda text: len(text.strip()) >= SHORTEST)


def secrets_of(**written):
    secrets = Secrets()
    for name, value in written.items():
        secrets.add(value, f"${{{name}}}")
    return secrets


def test_what_is_quoted_is_shown_as_it_is_written():
    secrets = secrets_of(KEY="sk-0123", NAME="Acme")
    assert secrets.conceal("401 for sk-0123 of Acme, key=sk-0123") == "401 for ${KEY} of ${NAME}, key=${KEY}"
    assert secrets.conceal("nothing of it") == "nothing of it"
    assert Secrets().conceal("sk-0123") == "sk-0123"


def test_of_one_that_is_part_of_another_nothing_is_left():
    secrets = secrets_of(SHORT="abcd", LONG="abcd-efgh", LONGER="x-abcd-efgh-y")
    assert secrets.conceal("abcd abcd-efgh x-abcd-efgh-y") == "${SHORT} ${LONG} ${LONGER}"


@pytest.mark.parametrize("value", ["", "a", "abc", "    ", "\n\n\n\n"])
def test_what_is_short_or_blank_is_not_looked_for(value):
    assert secrets_of(KEY=value).conceal(f"abc {value} xyz\n\n\n\n    ") == f"abc {value} xyz\n\n\n\n    "


def test_a_value_of_two_names_has_the_first():
    assert secrets_of(ONE="same", TWO="same").conceal("same") == "${ONE}"


@given(texts)
def test_it_is_found_however_it_is_quoted(value):
    secrets = secrets_of(KEY=value)
    for quoted in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value), quote(value, safe="")):
        assert secrets.conceal(f"<{quoted}>") == "<${KEY}>"


@given(st.lists(texts, min_size=1, max_size=5), st.text(max_size=3))
def test_none_is_left_wherever_it_stands(values, between):
    secrets = Secrets()
    for value in values:
        secrets.add(value, "\0", key=True)
    concealed = secrets.conceal(between.join(values))
    assert all(value not in concealed for value in values if "\0" not in value and value not in between)


def test_they_survive_pickling_and_do_not_show_themselves():
    secrets = secrets_of(KEY="sk-0123")
    secrets.conceal("sk-0123")
    assert pickle.loads(pickle.dumps(secrets)).conceal("sk-0123") == "${KEY}"
    assert "sk-0123" not in repr(secrets) + str(secrets)
    assert len(secrets) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("${KEY}", "${KEY}"),
        ("${A}${B}", "${A}${B}"),
        ("Bearer ${TOKEN}", "***${TOKEN}"),
        ("${TOKEN} abc", "${TOKEN}***"),
        ("${KEY:-sk-literal}", "${KEY:-***}"),
        ("${KEY:-}", "${KEY:-}"),
        ("a${file:/run/x:-y}b", "***${file:/run/x:-y}***"),
        ("$$a${KEY}", "***${KEY}"),
        ("abc", "***"),
    ],
)
def test_of_a_secret_that_is_written_in_part_only_references_are_shown(text, left):
    assert without_literals(text) == left


KEY = "sk-proj-4fT/9+wQ2mLz8vXb=="


def key_concealed(text):
    secrets = Secrets()
    secrets.add(KEY, "${KEY}", key=True)
    return secrets.conceal(text)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"key={KEY}&x", "key=${KEY}&x"),
        (f"Basic {b64encode(f'ada:{KEY}'.encode()).decode()}", "Basic YWRhOn${KEY}"),
        (f"Basic {urlsafe_b64encode(f'{KEY}:'.encode()).decode()}", "Basic ${KEY}06"),
        (quote(KEY, safe=""), "${KEY}"),
        (quote(KEY, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"), "${KEY}"),
        (KEY.replace("/", "\\/"), "${KEY}"),
        (KEY.encode().hex(), "${KEY}"),
        (f"{KEY[:9]}\n   {KEY[9:17]}\r\n{KEY[17:]}.", "${KEY}."),
        (f"{KEY[:9]}\\n{KEY[9:]}", "${KEY}"),
        (f"it begins with {KEY[:13]}", "it begins with ${KEY}"),
        (f"it ends in {KEY[-13:]}", "it ends in ${KEY}"),
        (f"within: <{KEY[2:25]}>", "within: <${KEY}>"),
        (f"Incorrect API key provided: {KEY[:8]}***********{KEY[-4:]}. You", "Incorrect API key provided: ${KEY}. You"),
        (f"key {KEY[:5]}...", "key ${KEY}"),
        (f"key …{KEY[-4:]}", "key ${KEY}"),
        ("begins with sk-proj-, and then **** or ...", "begins with sk-proj-, and then **** or ..."),
    ],
)
def test_no_part_of_a_key_stays(said, left):
    assert key_concealed(said) == left


ESCAPES = {
    "by JSON, in JSON, in JSON": lambda key: json.dumps(json.dumps(json.dumps(key))),
    "by JSON that is fit for HTML": lambda key: json.dumps(key).replace("+", "\\u002B").replace("/", "\\u002f"),
    "by JSON, each letter": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "by Python, each byte": lambda key: "".join(f"\\x{byte:02x}" for byte in key.encode()),
    "by percent twice": lambda key: quote(quote(key, safe=""), safe=""),
    "by percent, each byte": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "by HTML, each letter": lambda key: "".join(f"&#{ord(letter)};" for letter in key),
    "by HTML, in hex": lambda key: "".join(f"&#x{ord(letter):x};" for letter in key),
    "by HTML, in HTML": lambda key: html.escape(html.escape(key)),
    "in hex, in capitals": lambda key: key.encode().hex().upper(),
    "in capitals": str.upper,
    "as a list": lambda key: str(list(key)),
    "with blanks": " ".join,
    "with NULs": "\0".join,
    "with soft hyphens": "\u00ad".join,
    "over lines of HTML": lambda key: f"{key[:9]}<br>\n{key[9:18]}<wbr/>{key[18:]}",
    "over lines with backslashes": lambda key: f"{key[:9]}\\\n{key[9:18]}\\\n{key[18:]}",
    "over lines with hyphens": lambda key: f"{key[:9]}-\n{key[9:18]}-\n{key[18:]}",
    "in colour": lambda key: f"{key[:9]}\x1b[31m{key[9:18]}\x1b[0m{key[18:]}",
    "in base64 of JSON, in capitals": lambda key: b64encode(json.dumps({"k": key}).encode()).decode().upper(),
    "in base64 that is cut": lambda key: b64encode(f"ada:{key}".encode()).decode()[:-12],
    "in base64 over lines": lambda key: encodebytes(f"{'ada' * 14}:{key}".encode()).decode(),
    "by one star": lambda key: f"{key[:10]}*{key[-10:]}",
    "by a word in brackets": lambda key: f"{key[:10]}[...]{key[-10:]} {key[:10]}<redacted>{key[-10:]}",
    "by its middle": lambda key: key[3:-3],
}
KEYS = [
    KEY,
    "canary-0123456789/abcdefghij+ABCDEFG",
    "t%41k%2Fen&x=1\"q'zÅ¼",
    "pass word/with spaces 99",
    "00112233445566778899aabb",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("way", ESCAPES)
def test_no_way_to_escape_a_key_shows_it(way, key):
    secrets = Secrets()
    secrets.add(key, "\0", key=True)
    said = ESCAPES[way](key)
    concealed = secrets.conceal(f"denied: {said}; was sent")
    assert concealed.startswith("denied:")
    assert concealed.endswith("was sent")
    assert "\0" in concealed
    assert len(concealed) < len(f"denied: {said}; was sent") - len(key) // 2


@given(st.text(), st.integers(0, len(KEY)), st.integers(0, len(KEY)), st.text())
def test_no_long_part_stays_whatever_stands_around_it(before, begin, end, after):
    concealed = key_concealed(before + KEY[begin:end] + after).replace("${KEY}", "\0")
    longest = MOST_OF_FRAGMENT + 5  # the key has five characters that are neither letter nor digit
    assert not any(KEY[at : at + longest] in concealed for at in range(len(KEY) - longest + 1))


def test_a_short_value_is_a_word_of_its_own():
    assert secrets_of(VOICE="test").conceal("the latest test, attested") == "the latest ${VOICE}, attested"


def test_texts_without_secrets_stay_as_they_are():
    text = "no connection to 127.0.0.1:8080: models/tiny-en\n  is *** not there ..."
    assert key_concealed(text) == text


def test_the_latest_configurations_secrets_are_remembered():
    recent = RecentSecrets(most=2)
    for number in (1, 2, 2, 2, 1):
        secrets = Secrets()
        secrets.add(f"canary-{number}", f"${{KEY_{number}}}", key=True)
        recent.add(secrets)
    recent.add(Secrets())  # a configuration without any pushes none out
    assert recent.conceal("canary-1, canary-2") == "${KEY_1}, ${KEY_2}"
    third = Secrets()
    third.add("canary-3", "${KEY_3}", key=True)
    recent.add(third)
    assert recent.conceal("canary-1, canary-2, canary-3") == "${KEY_1}, canary-2, ${KEY_3}"
