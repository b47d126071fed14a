"""Credits of subtitles and last words of videos, which Whisper writes into silence, in a dozen languages. Sans-IO."""

from __future__ import annotations

import re

from voicepipe.text.words import phrase_of

_STEMS = tuple(
    """
    amara subtit caption transcri translat sous untertit sottotit legenda ondertit titulky altyaz dimatorzok
    napisy субтитр продолжение 字幕 不吝 watch subscri video vidéo vídeo ansehen zuschau zusehen abonn suscr
    visione guardato regardé iscriv assisti inscrev gracias kijken oglądanie просмотр подпи izledi abone देखने
    चैनल المشاهدة للمشاهدة القناة نانسي 視聴 チャンネル 動画 시청 구독 观看 觀看 收看 wdr swr ndr zdf mdr orf
    뉴스 gelderland
    """.split()  # noqa: SIM905 - as a list it takes a page
)
"""A piece of each that is below, in lower case: what has none of these is seen through at once."""

CREDITS = (
    # English
    *("Thanks for watching", "Thank you for watching", "Thank you so much for watching"),
    *("Thank you very much for watching", "Thanks so much for watching", "Thank you all for watching"),
    *("Thanks for watching this video", "Thank you for watching this video"),
    *("Please subscribe to my channel", "Please subscribe to our channel", "Please like and subscribe"),
    *(
        "Don't forget to like and subscribe",
        "Don't forget to subscribe",
        "Like and subscribe",
        "Subscribe to my channel",
    ),
    *("Subscribe to the channel", "See you in the next video", "I'll see you in the next video"),
    *("See you next time in the next video", "Please subscribe like comment and share"),
    # German
    *("Vielen Dank fürs Zuschauen", "Danke fürs Zuschauen", "Vielen Dank für das Zuschauen"),
    *("Vielen Dank für's Zuschauen", "Danke für's Zuschauen", "Vielen Dank fürs Zusehen", "Danke fürs Zusehen"),
    *("Vielen Dank fürs Ansehen", "Bis zum nächsten Video", "Abonniert den Kanal", "Abonniert meinen Kanal"),
    # Spanish
    *("Gracias por ver el video", "Gracias por ver el vídeo", "Muchas gracias por ver el video", "Gracias por ver"),
    *("Muchas gracias por ver el vídeo", "Gracias por ver este video", "Gracias por ver este vídeo"),
    *("Suscríbete al canal", "Suscríbete a mi canal", "Suscríbanse al canal", "No olvides suscribirte al canal"),
    # French
    *("Merci d'avoir regardé cette vidéo", "Merci d'avoir regardé la vidéo", "Merci d'avoir regardé"),
    *("Merci d'avoir visionné cette vidéo", "Abonnez-vous à la chaîne", "Abonnez-vous à ma chaîne"),
    *("N'oubliez pas de vous abonner", "N'hésitez pas à vous abonner à la chaîne", "N'hésitez pas à vous abonner"),
    # Italian
    *("Grazie per la visione", "Grazie per aver guardato il video", "Grazie per aver guardato"),
    *("Grazie per aver guardato questo video", "Iscriviti al canale", "Iscrivetevi al canale"),
    # Portuguese
    *("Obrigado por assistir", "Obrigada por assistir", "Obrigado por assistir ao vídeo", "Inscreva-se no canal"),
    *("Obrigado por assistirem", "Obrigado por terem assistido", "Se inscreva no canal", "Inscrevam-se no canal"),
    # Dutch
    *(
        "Bedankt voor het kijken",
        "Dank u voor het kijken",
        "Dank je wel voor het kijken",
        "Bedankt voor het kijken naar",
    ),
    *("Abonneer je op het kanaal", "Abonneer je op mijn kanaal", "Tot de volgende video"),
    # Hindi
    *("देखने के लिए धन्यवाद", "वीडियो देखने के लिए धन्यवाद", "देखने के लिए शुक्रिया", "चैनल को सब्सक्राइब करें"),
    # Polish, Russian, Turkish, Arabic
    *("Dziękuję za oglądanie", "Dzięki za oglądanie", "Dziękuję za uwagę i oglądanie"),
    *("Спасибо за просмотр", "Подписывайтесь на канал", "Подпишись на канал", "Продолжение следует"),
    *("İzlediğiniz için teşekkürler", "İzlediğiniz için teşekkür ederim", "Abone olmayı unutmayın"),
    *("شكرا على المشاهدة", "شكرا للمشاهدة", "اشتركوا في القناة", "لا تنسوا الاشتراك في القناة", "ترجمة نانسي قنقر"),
    # Japanese, Korean, Chinese
    *("ご視聴ありがとうございました", "ご視聴ありがとうございます", "最後までご視聴いただきありがとうございました"),
    *(
        "最後までご視聴いただきありがとうございます",
        "チャンネル登録をお願いします",
        "チャンネル登録よろしくお願いします",
    ),
    *("チャンネル登録よろしくお願いします", "チャンネル登録をよろしくお願いします", "次の動画でお会いしましょう"),
    *(
        "시청해 주셔서 감사합니다",
        "시청해주셔서 감사합니다",
        "구독과 좋아요 부탁드립니다",
        "구독과 좋아요 알림 설정 부탁드립니다",
    ),
    *("谢谢观看", "感谢观看", "謝謝觀看", "感謝觀看", "谢谢收看", "感谢收看", "感謝您的觀看", "感谢您的观看"),
)
"""Last words of videos: a sentence that is one of them has no words of the caller."""

_PHRASES = frozenset(map(phrase_of, CREDITS))
_THANKS = tuple("thank vielen dank gracias muchas merci grazie obrigad bedankt dzięk спасибо 谢 感 謝 ご 시청".split())  # noqa: SIM905
_BEGINNINGS = frozenset(
    phrase[:end] for phrase in _PHRASES if phrase.startswith(_THANKS) for end, char in enumerate(phrase) if char == " "
)
"""Others begin like what callers say over a reply: `no`, `please`."""

_CREDIT = re.compile(
    r"^(?:www )?amara org$"
    r"|(?:subt|sous t|untert|sottot|legend|ondert|napisy|titulk|字幕|субт|คำบรรยาย|phụ đề).*\bamara ?org\b"
    r"|(?:commun|comun|gemeenschap|społecz|社群|社区|社區).*\bamara ?org\b"
    r"|\bamara ?org\b.*(?:commun|gemeenschap|社群|社区|社區|字幕)"
    r"|^(?:closed )?(?:subtitles|captions|captioning|subtitled) (?:by|made by|created by|provided by)\b"
    r"|^(?:subtitles|transcription|transcribed|translated|translation) by [a-z ]{2,40}$"
    r"|^untertitel(?:ung)? (?:im auftrag|des zdf|der amara|von stephanie geiges)"
    r"|^(?:copyright )?(?:wdr|swr|ndr|zdf|mdr|orf) 20\d\d$"
    r"|^subt[ií]tulos (?:realizados|creados|hechos|por la comunidad|en español de)\b"
    r"|^sous titres? (?:réalisés?|faits?|par|de la communauté)|^sous titrage (?:st|société|fr|mfp|radio)\b"
    r"|^sottotitoli (?:creati|e revisione|a cura|di sottotitoli)\b"
    r"|^legendas? (?:pela|por|e revisão)\b|^legendado por\b|^transcrição e legendas\b"
    r"|^onderti?tel(?:d|s|ing) (?:door|ingediend|ingevoerd)\b|^tv gelderland 20\d\d$"
    r"|^napisy (?:stworzone|wykonane|by)\b|^titulky vytvořil|^altyazı (?:m k|ekleme)"
    r"|^субтитры (?:сделал|сделаны|создавал|создал|делал|подготовил|подогнал|добавил)|^редактор субтитров|dimatorzok"
    r"|^(?:m b c|mbc) 뉴스\b"
    r"|^(?:thanks|thank you)(?: so much| very much| all| everyone| guys)? for watching"
    r"(?: (?:and|this video|the video|everyone|guys|see you|dont|please|if you|bye)\b.*)?$"
    r"|^(?:vielen dank|danke)(?: schön)? (?:fürs|für das) (?:zuschauen|zusehen|ansehen|anschauen)\b"
    r"|^(?:muchas )?gracias (?:a todos )?por ver (?:el|este|nuestro|mi) v[ií]deo\b"
    r"|^merci (?:à tous )?davoir (?:regardé|visionné)\b|^grazie (?:a tutti )?per (?:la visione|aver guardato)\b"
    r"|^obrigad[oa] (?:a todos )?por (?:assistir|ter(?:em)? assistido)\b"
    r"|^(?:hartelijk )?(?:bedankt|dank (?:u|je)(?: wel)?) voor het kijken\b"
    r"|^(?:(?:中文|小编|小編)\W?)?字幕(?:由|志愿者|志願者|制作|製作|提供|by)|^请不吝点赞|^請不吝點贊"
)
"""Patterns of credits in the words of `phrase_of`; Chinese without its spaces."""

_SENTENCE = re.compile(r"[^.!?。！？…\n]*(?:\.(?=\w)[^.!?。！？…\n]*)*(?:[.!?。！？…\n]+|$)\s*")
_BETWEEN_HAN = re.compile(r"(?<=[\u3040-\u9fff]) (?=[\u3040-\u9fff])")


def may_have_credits(text: str) -> bool:
    """Returns True if a text is worth `without_credits`; quick."""
    lowered = text.lower()
    return any(stem in lowered for stem in _STEMS)


def may_become_credit(text: str) -> bool:
    """Returns True if a transcript that is still being written is the beginning of one of `CREDITS`."""
    return phrase_of(text) in _BEGINNINGS


def without_credits(text: str) -> str:
    """The sentences of a text that are no credits; one without any comes back as it is."""
    sentences = [sentence for sentence in _SENTENCE.findall(text) if sentence]
    remaining = [sentence for sentence in sentences if not _is_credit(sentence)]
    return text if len(remaining) == len(sentences) else "".join(remaining).strip()


def _is_credit(sentence: str) -> bool:
    phrase = phrase_of(sentence)
    return phrase in _PHRASES or _CREDIT.search(_BETWEEN_HAN.sub("", phrase)) is not None
