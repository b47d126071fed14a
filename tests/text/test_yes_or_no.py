"""Yes and no, as callers say them in eight languages, and what is neither."""

import pytest

from voicepipe.text.consent_texts import ANNOUNCEMENTS, QUESTIONS, text_of
from voicepipe.text.yes_or_no import answer_of

YES = """
yes | Yes. | YES! | Yes, please. | yeah sure | Yep | Okay. | OK | Of course. | Sure, go ahead. | That's fine. | I agree.
Yes, you can record the call. | No problem. | One. | 1 | Um, yes. | Oh yes, that's okay
Ja | Ja, gerne. | Ja bitte! | Jawohl | Klar, kein Problem. | Einverstanden. | Ich bin einverstanden | Eins
Ja, in Ordnung
Sí | sí, claro | Si, por favor. | Vale | De acuerdo, no hay problema. | Cómo no | Uno
Oui | Oui, bien sûr. | D'accord | Oui, pas de problème | Ça me va | Je suis d'accord
Sì | Sì, certo. | Va bene | Sono d'accordo | Sì, nessun problema.
Sim | Sim, pode gravar. | Claro | Está bem | Sem problema
Ja hoor, dat is goed. | Prima | Jazeker | Geen probleem
हाँ | हां जी | जी हाँ, ठीक है | हाँ, बिल्कुल | haan ji | theek hai
"""
NO = """
no | No. | Nope | No, thank you. | No, I don't want that. | I don't want to be recorded. | Please don't record this.
Of course not. | Absolutely not! | I'd rather not. | I do not agree. | Two | 2 | No way
Nein | Nein, danke. | Nee | Lieber nicht. | Bitte nicht aufzeichnen. | Natürlich nicht | Ich bin nicht einverstanden
Auf keinen Fall! | Nein, das möchte ich nicht. | Zwei
No, gracias. | Claro que no | Por supuesto que no. | No estoy de acuerdo
Non | Non merci. | Pas du tout | Je ne suis pas d'accord | Je refuse
No, grazie | Certo che no | Non sono d'accordo
Não | Não, obrigado. | nao | Não concordo
Nee, liever niet | Natuurlijk niet
नहीं | जी नहीं | बिल्कुल नहीं | nahin
"""
NEITHER = """
Yes? | Ja? | ¿Sí? | Yes, but what for? | What for? | Two tickets please | I have a question | Yes, I have a question
I don't understand | Ich verstehe nicht | Yes, no, well | hello | uh-huh | um | I'm not sure. | One moment, please.
one two | Wozu denn? | Quoi ? | ja nein | perhaps | यह क्या है | Entschuldigung | not really, why do you ask
"""


def phrases(table):
    return [phrase.strip() for line in table.split("\n") for phrase in line.split("|") if phrase.strip()]


def test_answers():
    expected = {True: YES, False: NO, None: NEITHER}
    wrong = [
        (text, answer_of(text))
        for kind, table in expected.items()
        for text in phrases(table)
        if answer_of(text) is not kind
    ]
    assert wrong == []
    assert answer_of("") is None


@pytest.mark.parametrize("texts", [ANNOUNCEMENTS, QUESTIONS])
def test_there_is_a_text_in_eight_languages(texts):
    assert set(texts) == {"en", "de", "es", "fr", "it", "pt", "nl", "hi"}
    assert text_of(texts, "de-CH") == texts["de"]
    assert text_of(texts, None) == texts["en"]
    assert text_of(texts, "pl") is None
    if texts is QUESTIONS:
        assert all("1" in text and "2" in text for text in texts.values())
