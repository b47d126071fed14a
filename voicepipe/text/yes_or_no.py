"""Yes or no: what a caller has answered to a question, in eight languages. Sans-IO.

answer_of("Yes, that's fine.")        # True
answer_of("Nein, lieber nicht.")      # False
answer_of("No problem, go ahead.")    # True: a phrase goes before its words
answer_of("Yes, but what for?")       # None: it is no clear answer

A yes may be the ground on which something is done, so it has to be clear: nothing but words of agreement, and small
words around them. A no may be longer, since nothing is done because of it. Nothing that is asked back is a yes.
The languages are not told apart: callers answer in another one than they were asked in.
"""

from __future__ import annotations

from functools import cache

from voicepipe.text.words import words_in

YES = (
    # English
    *("yes", "yeah", "yep", "yup", "aye", "sure", "of course", "okay", "ok", "o.k.", "all right", "alright", "fine"),
    *("agreed", "i agree", "agree", "i do", "i consent", "certainly", "absolutely", "definitely", "go ahead"),
    *("no problem", "not a problem", "no objection", "no objections", "no worries", "i don't mind", "i do not mind"),
    *("why not", "by all means", "sounds good", "go for it", "you may", "you can", "feel free"),
    # German
    *("ja", "jawohl", "jo", "jep", "klar", "gern", "gerne", "sicher", "natürlich", "selbstverständlich", "genau"),
    *("einverstanden", "in ordnung", "passt", "geht klar", "alles klar", "kein problem", "keine einwände", "stimme zu"),
    *("habe nichts dagegen", "hab nichts dagegen", "nichts dagegen", "von mir aus", "meinetwegen"),
    # Spanish
    *("sí", "si", "claro", "por supuesto", "de acuerdo", "vale", "está bien", "acepto", "adelante", "desde luego"),
    *("sin problema", "no hay problema", "cómo no", "no me importa", "no tengo inconveniente", "correcto"),
    # French
    *("oui", "ouais", "d'accord", "bien sûr", "volontiers", "j'accepte", "certainement", "absolument", "tout à fait"),
    *("allez-y", "pas de problème", "aucun problème", "pas de souci", "ça me va", "ça marche", "entendu"),
    # Italian
    *("sì", "certo", "certamente", "va bene", "d'accordo", "accetto", "volentieri", "come no", "nessun problema"),
    *("non c'è problema", "faccia pure"),
    # Portuguese
    *("sim", "com certeza", "está bem", "tá bom", "tudo bem", "pode ser", "concordo", "aceito", "de acordo", "certo"),
    *("sem problema", "não tem problema", "não há problema", "pode", "pois pode"),
    # Dutch
    *("jawel", "jazeker", "zeker", "natuurlijk", "tuurlijk", "prima", "is goed", "akkoord", "oké", "geen probleem"),
    *("geen bezwaar", "ga uw gang"),
    # Hindi
    *("हाँ", "हां", "जी", "ठीक है", "ठीक", "बिल्कुल", "बिलकुल", "ज़रूर", "जरूर", "सहमत", "कोई बात नहीं", "कोई समस्या नहीं"),
    *("haan", "haan ji", "ji haan", "theek hai", "thik hai", "bilkul", "zaroor"),
)
"""Words and phrases of agreement."""

NO = (
    *("no", "nope", "nah", "never", "no way", "of course not", "no thanks", "no thank you", "i refuse", "i decline"),
    *("i disagree", "i object", "absolutely not", "certainly not"),
    *("nein", "ne", "nee", "nö", "auf keinen fall", "auf gar keinen fall", "niemals", "natürlich nicht"),
    *("nunca", "jamás", "claro que no", "por supuesto que no", "de ninguna manera", "rechazo", "no estoy de acuerdo"),
    *("non", "jamais", "pas du tout", "surtout pas", "bien sûr que non", "je refuse", "pas d'accord"),
    *("mai", "certo che no", "assolutamente no", "rifiuto", "non sono d'accordo"),
    *("não", "nao", "claro que não", "de jeito nenhum", "recuso", "não concordo"),
    *("neen", "nooit", "natuurlijk niet", "ik weiger"),
    *("नहीं", "जी नहीं", "ना", "बिल्कुल नहीं", "nahin", "nahi", "ji nahin", "सहमत नहीं"),
)
"""Words and phrases that refuse, whatever follows them."""

KEYS = {
    True: frozenset(words_in("1 one eins uno एक")),
    False: frozenset(words_in("2 two zwei dos deux due dois twee दो")),
}
"""The keys of a yes and of a no, as they are said instead of being pressed: each alone, since it counts things too."""

NOT = (
    *("not", "don't", "do not", "i do not", "doesn't", "won't", "can't", "cannot", "rather not", "without"),
    *("nicht", "kein", "keine", "keinen", "ohne", "tampoco", "pas", "sans", "non", "senza", "nem", "sem"),
    *("niet", "geen"),
    *("मत", "mat", "bina"),
)
"""Words that turn others around: before nothing but small words and a yes they refuse."""

DOUBT = ("not sure", "nicht sicher", "no estoy seguro", "no estoy segura", "pas sûr", "pas sûre", "niet zeker")
"""Phrases of those words that are neither."""

SMALL = frozenset(
    words_in(
        # English
        "i i'm i'd am a the it is it's that that's this to with me my we you your can may please thank thanks so then"
        " well oh ah um uh hm and for be by do would will prefer rather want like very really just good right record"
        " recording recorded call"
        # German
        " ich bin das ist es bitte danke dann also äh ähm damit dem der die den sie dürfen können mich mir uns"
        " aufnahme aufnehmen aufzeichnen aufgezeichnet aufzeichnung gespräch anruf wird werden möchte will zu sehr"
        " schon mal na doch und lieber machen tun"
        # Spanish
        " yo que me lo la el le por favor gracias pues eso quiero grabar graben grabe grabación llamada puede pueden"
        " muy y con mi estoy prefiero bueno"
        # French
        " je suis c'est c est le les ça cela vous pouvez peux s'il plaît merci alors euh veux enregistrer"
        " enregistrement enregistré appel bien très et avec de j'ai préfère"
        # Italian
        " io è il mi può potete registrare registrazione registrato chiamata bene molto e voglio allora sono grazie"
        " preferisco"
        # Portuguese
        " eu é o obrigado obrigada podem gravar gravação chamada ligação quero muito bem com prefiro"
        # Dutch
        " ik ben het dat alstublieft alsjeblieft dank u je bedankt dan mag opnemen opgenomen opname gesprek wil graag"
        " hoor en met ga goed worden liever"
        # Hindi
        " मैं हूँ हूं है हैं कृपया धन्यवाद आप कर सकते रिकॉर्ड रिकॉर्डिंग कॉल करें करो करना यह main hoon hai"
    )
)
"""Words that say nothing by themselves."""


def answer_of(text: str) -> bool | None:
    """Returns whether a caller's words are a yes or a no; None: they are neither clearly."""
    words = tuple(words_in(text))
    kinds = _kinds_of(words)
    if "no" in kinds and "yes" not in kinds:
        return False
    if kinds and kinds[0] == "not" and "other" not in kinds:
        return False
    for answer, keys in KEYS.items():
        if len(words) == 1 and words[0] in keys:
            return answer
    return True if set(kinds) == {"yes"} and "?" not in text else None


def _kinds_of(words: tuple[str, ...]) -> list[str]:
    """Returns the kinds of the phrases that words are made of, each as long as possible; small words are of none."""
    phrases, longest = _phrases()
    kinds: list[str] = []
    begin = 0
    while begin < len(words):
        for end in range(min(len(words), begin + longest), begin, -1):
            if (kind := phrases.get(words[begin:end])) is not None:
                kinds.append(kind)
                begin = end
                break
        else:
            if words[begin] not in SMALL:
                kinds.append("other")
            begin += 1
    return kinds


@cache
def _phrases() -> tuple[dict[tuple[str, ...], str], int]:
    """Returns the kind of each phrase, by its words, and the most words of one."""
    kinds = {"not": NOT, "no": NO, "yes": YES, "other": DOUBT}
    phrases = {tuple(words_in(phrase)): kind for kind, all_of_it in kinds.items() for phrase in all_of_it}
    return phrases, max(map(len, phrases))
