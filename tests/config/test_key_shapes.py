"""Keys that nobody declared as secrets are masked in what is shown: those that vendors' shapes or words tell."""

from __future__ import annotations

import attrs
import pytest

from voicepipe.config import load
from voicepipe.config.describe.key_shapes import without_keys
from voicepipe.config.sections import LAYERED, PipelineSection, SetFile
from voicepipe.roles import ROLES

KEYS = {
    "OpenAI": "sk-proj-abcDEF0123456789abcdefgh",
    "Anthropic": "sk-ant-api03-abcdefghijklmnop-0123_456",
    "Stripe": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "GitLab": "glpat-abcdefghijklmnop",
    "Slack": "xoxb-17653672481-19874698323",
    "Google": "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "PEM, cut off": "-----BEGIN PRIVATE KEY-----\nMIIEow",
}
IN_WORDS = {
    "Authorization: Bearer abc123def456": "abc123def456",
    "send `basic dXNlcjpwYXNzd29yZDE=` with it": "dXNlcjpwYXNzd29yZDE=",
    "The password is swordfish7.": "swordfish7",
    "passphrase: 'correct-horse-1'": "correct-horse-1",
    "API key = 0123abcd": "0123abcd",
    "the PIN is 4711": "4711",
    "https://example.org/v1?x=1&api_key=abcdef&y=2": "abcdef",
    "https://example.org/v1?access_token=abcdef#top": "abcdef",
    "https://example.org/blob?sv=2024&sig=a%2Bb%3D": "a%2Bb%3D",
}
PLAIN = (
    "",
    "Ask for the password, and never repeat it.",
    "The token: {token}. The PIN has 4 digits; max_tokens=400, a risk-averse agent asks for the key.",
    "gpt-4o-mini-transcribe, task-force-of-twentythree-people, disk_encryption_algorithms",
    "https://example.org/v1?page=2&keyboard=de",
    "a bearer instrument, basic training in 2024",
)


@pytest.mark.parametrize("name", KEYS)
def test_a_vendors_key_is_found_by_its_shape(name):
    assert without_keys(f"Use {KEYS[name]}, thanks") == ("Use ***" if name == "PEM, cut off" else "Use ***, thanks")
    assert without_keys(f'{{"x":"{KEYS[name]}"}}').startswith('{"x":"***')


@pytest.mark.parametrize("text", IN_WORDS)
def test_a_secret_that_words_tell_is_masked_and_no_more(text):
    secret = IN_WORDS[text]
    before, _, after = text.partition(secret)
    masked = without_keys(text)
    assert secret not in masked
    assert masked.startswith(before + "***")
    assert after.lstrip(".") in masked


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_stay(text):
    assert without_keys(text) == text


def test_the_digest_is_made_of_every_key_of_the_file():
    """A new key has to be in the normal form: else two configurations would have one digest, and one would be kept."""
    shared = {field.name for field in attrs.fields(SetFile)} - {"pipelines", "components"}
    assert shared == {*load._SHARED, *LAYERED}
    of_pipeline = {field.name for field in attrs.fields(PipelineSection)} - {"options"}
    assert of_pipeline == {*load._OWN, *LAYERED, *ROLES}
