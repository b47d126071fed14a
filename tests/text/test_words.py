"""Words and phrases as they compare: by Unicode's rules, in many scripts."""

import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from word_tables import table

from voicepipe.text.words import count_words, letters_of, phrase_of, words_in

SAME = [(one, other) for (_, (one,), (other,)) in table("Comparing", 0)]
DIFFERENT = [(one, other) for (_, (one,), (other,)) in table("Comparing", 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *SAME,
        ("caf\u00e9", "cafe\u0301"),
        ("\u0958\u093e", "\u0915\u093c\u093e"),  # a letter that NFC leaves apart
        ("\u0e19\u0e33", "\u0e19\u0e4d\u0e32"),
        ("co\u00adop", "coop"),
        ("ok\ufe0f", "ok"),
        ("don\u02bct", "dont"),
        ("ﬁne", "FINE"),
        ("١٢٣", "١\u200f٢\u200f٣"),
        ("col·lecció", "collecció"),
        ("e.g. this", "e g this"),
        ("a,b", "a b"),
        ("snake_case", "snake case"),
        ("\u1e9e", "ss"),
        ("yes\u3000please", "yes please"),
        ("はい、そうです。", "はいそうです"),
        ("បាទ\u200bបាទ", "បាទ បាទ"),
    ],
)
def test_these_are_the_same(one, other):
    assert phrase_of(one) == phrase_of(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *DIFFERENT,
        ("yes no", "yesno"),
        ("ab", "ba"),
        ("কি", "কী"),
        ("பி", "பீ"),
        ("ကို", "ကူ"),
        ("ກາ", "ກີ"),
        ("മരം", "മാരം"),
        ("शाम", "शम"),
        ("カ", "ガ"),
        ("ไม่", "ไม"),
        ("пей", "пеи"),
        ("أنا", "أنت"),
    ],
)
def test_these_are_not(one, other):
    assert phrase_of(one) != phrase_of(other)


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("HAYIR, İYİ", "tr", ["hayır", "iyi"]),
        ("HAYIR", "tr-TR", ["hayır"]),
        ("HAYIR", "en", ["hayir"]),
        ("HAYIR", None, ["hayir"]),
        ("DAĞ IŞIĞI", None, ["dağ", "ışığı"]),
        ("Iyi değil", "az", ["ıyi", "değil"]),
        ("It's 3.50, e-mail!", None, ["its", "3", "50", "e", "mail"]),
        ("ไม่ใช่", None, ["ไ", "ม่", "ใ", "ช่"]),
        ("我要2张票", None, ["我", "要", "2", "张", "票"]),
        ("カタカナ・テスト", None, ["カタカナ", "テスト"]),
        ("한국어 말", None, ["한국어", "말"]),
        ("1️⃣ 👍🏽 ok", None, ["1", "ok"]),
        ("¿Qué?", None, ["qué"]),
        ("", None, []),
        ("?!… ♪ \u0301", None, []),
    ],
)
def test_these_are_words(text, language, words):
    assert words_in(text, language) == words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("yes", 1),
        ("don't do it", 3),
        ("uh-huh", 2),
        ("नहीं, रुको", 2),
        ("はい", 1),
        ("等一下", 2),
        ("我要两张去上海的票", 5),
        ("ไม่", 1),
        ("ไม่ใช่ครับ", 3),
        ("カタカナ テスト", 2),
        ("yes 我要", 2),
    ],
)
def test_words_are_counted_where_no_space_ends_them(text, count):
    assert count_words(text) == count


def test_letters_keep_spaces_only_where_they_are_written():
    assert letters_of("我要２张，谢谢。") == "我要2张 谢谢"
    assert letters_of("Don’t, नमस्ते जी!") == "dont नमस्ते जी"


ANY = st.text(
    st.one_of(
        st.characters(blacklist_categories=("Cs",)),
        st.sampled_from("aàéßıİIiçñ'’. -हाँगदोดไม่ใชক্ষ我はカ각עִבְעَر\u0301\u200d\u200c"),
    ),
    max_size=30,
)


@example("don´t")  # an acute accent, which has a space in its decomposition
@given(ANY)
def test_equivalent_texts_have_the_same_words(text):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert phrase_of(unicodedata.normalize(form, text)) == phrase_of(unicodedata.normalize("NFC", text))


@given(ANY)
def test_words_of_words_are_themselves(text):
    words = words_in(text)
    assert words_in(" ".join(words)) == words
    assert words_in(letters_of(text)) == words


LETTERS = regex.compile(r"(?w)\b[\p{L}\p{N}].*?\b")


@given(st.lists(st.sampled_from(["ja", "nein", "über", "naïve", "Ünal", "привет", "όχι", "two", "2", "Œuvre"])))
def test_the_quick_way_gives_the_words_of_uax_29(parts):
    """Text of Europe's languages is not taken through the slow steps; the result is the same."""
    text = " ".join(parts)
    assert words_in(text) == LETTERS.findall(text.casefold())


def test_nothing_that_is_never_seen_is_left():
    """The library's own table says which these are."""
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    seen = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and ignorable.match(chr(code))]
    assert len(seen) > 4000
    assert [hex(code) for code in seen if words_in(f"a{chr(code)}b") != ["ab"]] == []
