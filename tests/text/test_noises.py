"""What recognisers write where nobody said a word, and what of a transcript was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_tables import table

from voicepipe.text.credits import may_become_credit
from voicepipe.text.noises import spoken

NOISES = [text for _, texts in table("Noises", 0) for text in texts]
KEPT = [(transcript, words) for ((transcript,), (words,)) in table("Noises", 1)]


@pytest.mark.parametrize(
    "text",
    [
        *NOISES,
        *("", " ", " [BLANK_AUDIO]", "[SOUND]", "[inaudible]", "(applausi)", "[Muziek]", "[ruído]", "(música e risos)"),
        *(
            "<|nospeech|>",
            "[[noise]]",
            "[BLANK_AUDIO] [BLANK_AUDIO]",
            "[Music] (laughs) ...",
            "[Music]. [Music].",
            "🎵",
        ),
        *(
            "- [Music]",
            "AUDIO]",
            "> [silence]",
            "（音楽）",
            "〔拍手〕",
            "(雨の音)",
            "[음악]",
            "(тихая музыка)",
            "[موسيقى]",
        ),
        *("[00:00:01.000]", "[3 beeps]", "(inaudible) (inaudible)", "[ Silence ]", "♪ ... ♪", "*", "**", "()", "[]"),
        *("Thanks for watching and don't forget to subscribe!", "Vielen Dank fürs Zuschauen und bis zum nächsten Mal."),
        *(
            "Merci à tous d'avoir regardé cette vidéo.",
            "Hartelijk bedankt voor het kijken.",
            "[ __ ]",
            "</s>",
            "[Gelächter]",
        ),
        *("Thank you for watching!", "Please subscribe to my channel.", "Don't forget to like and subscribe!"),
        *("SUBTITLES BY THE AMARA.ORG COMMUNITY", "www.amara.org", "Thanks for watching. Thanks for watching!"),
        *("Untertitelung aufgrund der Amara.org-Community", "SWR 2020", "Danke fürs Zuschauen."),
        *("Sous-titres réalisés para la communauté d'Amara.org", "N'hésitez pas à vous abonner !"),
        *("Subtítulos por la comunidad de Amara.org", "Suscríbete al canal", "Grazie per aver guardato il video."),
        *(
            "Ondertiteld door de Amara.org gemeenschap",
            "字幕志愿者 李宗盛",
            "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        ),
        *("MBC 뉴스 이덕영입니다.", "チャンネル登録をお願いします", "Obrigada por assistir.", "Спасибо за просмотр!"),
    ],
)
def test_nobody_said_a_word(text):
    assert spoken(text) == ""


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        *KEPT,
        ("(coughs) yes, [door slams] please", "yes, please"),
        ("*coughs* sorry about that", "sorry about that"),
        ("♪♪ yes please", "yes please"),
        ("[Caller] [crosstalk] two tickets", "two tickets"),
        ("yes [noise] [noise] no", "yes no"),
        ("Guten Tag. Untertitel der Amara.org-Community", "Guten Tag."),
        ("Thanks for watching! Hello?", "Hello?"),
        ("Hello. " + "I don't know. " * 10, "Hello. I don't know."),
    ],
)
def test_the_words_stay(transcript, words):
    assert spoken(transcript) == words


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "ok", "5", "はい", "हाँ", "ไม่", "¿Sí?", "I", "K."),
        *("+49 171 22", "(0)171 22", "call (555) 123", "My number is (0171)", "5*3", "**** you ****", "3 < 5", "C++"),
        *("[REDACTED]", "[redacted]", "My card is [CREDIT_CARD]", "[NAME_1] here", "[PHONE NUMBER]", "It's (555)."),
        *("Thanks.", "Thank you very much.", "Thank you for calling.", "Vielen Dank.", "Merci.", "Gracias.", "you"),
        *(
            "Thank you for watching the kids.",
            "Danke fürs Warten.",
            "Merci d'avoir attendu.",
            "Grazie per aver chiamato.",
        ),
        *("Thanks for watching my dog.", "I watch a video.", "The subtitles don't work.", "I want subtitles by Friday"),
        *("My e-mail is jane@amara.com.", "jane@amara.org", "Ich möchte abonnieren.", "Please subscribe me.", "ZDF"),
        *("five " * 12, "double five " * 6, "la la la", "no, no, no, no, no, no, no", "a b a b a b a b a b a b"),
        *("Wait... what?", "well -", "it's 5, 6"),
    ],
)
def test_what_callers_say_is_left_as_it_is(text):
    assert spoken(text) == text


@given(st.text(st.sampled_from("ab ()[]{}<>*♪.,!'\n１हाँ我"), max_size=60))
def test_any_text_has_its_words_and_they_are_final(text):
    words = spoken(text)
    assert spoken(words) == words
    assert words == "" or any(map(str.isalnum, words))


@pytest.mark.parametrize("text", ["Thanks", "Thank you", "thank you for", "Vielen Dank", "Merci", "谢谢"])
def test_a_guess_may_become_a_credit(text):
    assert may_become_credit(text)


@pytest.mark.parametrize("text", ["", "no", "please", "see you", "thanks no", "Merci beaucoup"])
def test_a_guess_that_can_not_is_words(text):
    assert not may_become_credit(text)
