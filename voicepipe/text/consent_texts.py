"""What callers are told, or asked, before a call is recorded, in eight languages. Sans-IO."""

from __future__ import annotations

ANNOUNCEMENTS = {
    "en": "This call is recorded.",
    "de": "Dieses Gespräch wird aufgezeichnet.",
    "es": "Esta llamada se graba.",
    "fr": "Cet appel est enregistré.",
    "it": "Questa chiamata viene registrata.",
    "pt": "Esta chamada é gravada.",
    "nl": "Dit gesprek wordt opgenomen.",
    "hi": "यह कॉल रिकॉर्ड की जा रही है।",
}
"""The texts of `consent: announce`, by language."""

QUESTIONS = {
    "en": "May we record this call? Please say yes or press 1, or say no or press 2.",
    "de": "Dürfen wir dieses Gespräch aufzeichnen? Bitte sagen Sie Ja oder drücken Sie die 1,"
    " oder sagen Sie Nein oder drücken Sie die 2.",
    "es": "¿Podemos grabar esta llamada? Diga sí o pulse 1, o diga no o pulse 2.",
    "fr": "Pouvons-nous enregistrer cet appel ? Dites oui ou tapez 1, ou dites non ou tapez 2.",
    "it": "Possiamo registrare questa chiamata? Dica sì o prema 1, oppure dica no o prema 2.",
    "pt": "Podemos gravar esta chamada? Diga sim ou prima 1, ou diga não ou prima 2.",
    "nl": "Mogen we dit gesprek opnemen? Zeg ja of druk op 1, of zeg nee of druk op 2.",
    "hi": "क्या हम यह कॉल रिकॉर्ड कर सकते हैं? हाँ कहिए या 1 दबाइए, या नहीं कहिए या 2 दबाइए।",
}
"""The texts of `consent: ask`, by language."""


def text_of(texts: dict[str, str], language: str | None) -> str | None:
    """Returns the text in a language, a BCP 47 tag; in English if none is known; None: there is none in it."""
    return texts.get("en" if language is None else language.partition("-")[0].lower())
