"""Words of numbers, letters and addresses that are read out, besides `number_words`. Sans-IO."""

from __future__ import annotations

from voicepipe.text.words import words_in


def _words(text: str) -> frozenset[str]:
    return frozenset(words_in(text))


WEAK_LETTERS = _words("a i o e y u à á è é ê ó ò ì в и к о с у я а і є")
"""Letters that are words too."""

LETTER_NAMES = _words(
    """
    zed zee aitch zett jot ypsilon eszett hache jota efe ele elle eme ene eñe erre equis xis zeta uve acca effe
    emme enne esse agá dáblio ípsilon एफ एच एल एम एन एस एक्स जे क्यू टी डी बी वाई सी पी वी ज़ेड जेड डब्ल्यू आर
    """
)
"""Names of letters."""

WEAK_LETTER_NAMES = _words(
    "be ce de ge ka cu ese te ye bi ci di gi pi ti vu bê cê dê gê pê quê tê vê zê vau ix ए ई आई के ओ यू जी"
)
"""Names of letters that are words too."""

_NATO = """
    alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett juliette kilo lima mike november
    oscar papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu
"""
_GERMAN = """
    anton berta cäsar dora emil friedrich gustav heinrich ida julius kaufmann konrad ludwig martha marta nordpol
    otto paula quelle richard samuel siegfried theodor ulrich viktor wilhelm xanthippe ypsilon zacharias
    zeppelin
"""
_ITALIAN = """
    ancona bologna como domodossola empoli firenze genova imola jolly kursaal livorno milano napoli otranto
    palermo quadro roma savona torino udine venezia xilofono york zara
"""
ALPHABETS = (_words(_NATO), _words(_GERMAN), _words(_ITALIAN))
"""Words that stand for letters."""

BEFORE_LETTERS = _words(
    "capital letter uppercase lowercase letra mayúscula lettre majuscule buchstabe lettera maiuscola maiúscula"
)
"""Words before a single letter of a name."""

AS_IN = ("as in", "for", "like", "wie", "comme", "come", "como", "de", "van", "से")
"""Words between a letter and a word that begins with it."""

ABBREVIATIONS = _words(
    """
    ok am pm tv id us usa uk eu uae dc pc cd dvd hr it ai vip atm sms gps usb pdf faq ceo mri er gp nhs bbc bmw
    vw ups dhl ibm zdf ard eta phd dj ac hiv
    """
)
"""Letters that are a word, where other words go before."""

AT = _words("arroba chiocciola chiocciolina arobase arrobase apenstaartje klammeraffe ät एट ऐट آت собака")
"""The sign @, where it can't be a preposition."""

DOT = _words("dot डॉट نقطة точка")
"""The full stop of an address."""

MAY_BE_DOT = _words("punkt punto point ponto punt पॉइंट")
"""Words for the full stop of an address that mean other things as well."""

SIGNS = _words(
    """
    underscore hyphen dash slash unterstrich bindestrich schrägstrich guion guión barra tiret trattino
    sottolineato hífen traço sublinhado underline streepje koppelteken अंडरस्कोर हाइफन डैश
    """
)
"""Other signs of addresses and numbers."""

TWO_WORD_SIGNS = frozenset(
    {("guion", "bajo"), ("guión", "bajo"), ("tiret", "bas"), ("trattino", "basso"), ("under", "score")}
)
"""Signs of addresses and numbers that take two words."""

PROVIDERS = _words(
    """
    gmail googlemail hotmail outlook yahoo icloud aol gmx web proton protonmail live msn orange laposte wanadoo
    free libero virgilio tiscali ziggo kpn uol bol terra rediffmail example mail
    """
)
"""Hosts at which people have their mail."""

TOP_LEVEL = _words(
    """
    com net org edu gov info biz io ai app dev me tv eu uk us de at ch fr be nl es pt br it in mx ar cl ca au nz
    ie pl ru tr jp cn kr se no dk fi gr cz cat online shop email कॉम इन
    """
)
"""Last parts of addresses. `co` is not here: `dot uk` is likely to follow."""

MAIL = _words("email mail emails correo courriel mél posta emailadresse mailadresse mailadres emailadres ईमेल")
"""Words for mail: an `at` that follows is likely to be the sign."""

COPULAS = _words("is its ist lautet es est è é है spelled spelt buchstabiert name")
"""Verbs before something that is read out."""

NO_MAILBOX = _words(
    """
    not wrong right correct broken down full slow old new different gone hacked still working on in the a an at to for
    nicht falsch richtig kaputt voll alt neu weg no incorrecto incorrecta correcto nuevo otro diferente pas mauvaise
    incorrecte nouvelle pleine sbagliata giusta piena non nuova errado certo novo outro não niet fout vol nieuw गलत
    सही
    """
)
"""Words after "my e-mail is" that are no address."""

ARTICLES = _words("the a an this that der den dem ein einen le un ce el il lo o um het een de al at")
"""Articles and the like: after one of these, a word for a sign is a noun: `on the dot`."""

NO_NAMES = _words(
    """
    look be me it not meet work am im home him her us them arrive start here there call was is are see come back
    stop live get good great on bon smile stay wait open dinner lunch breakfast appointment table seat everyone nothing
    """
)
"""Words before the preposition `at`."""

NO_DOMAINS = _words(
    """
    home work school night noon midnight lunch dinner all least last first once the my your his her that this
    any time me him us them it reception present christmas easter dawn sunrise sunset seaside sea length
    quantity
    """
)
"""Words after the preposition `at`."""

BEFORE_TIMES = _words("at um gegen vers à alle las les om às by until bis hasta jusqu fino até tot before after")
"""Words before a time of day."""

BEFORE_YEARS = _words(
    "in since from of year im jahr seit ab en desde año depuis année nel dal anno em ano sinds jaar सन"
)
"""Words before a year."""

HOURS = _words("one two three four five six seven eight nine ten eleven twelve")
"""First words of a time of day."""

MINUTES = _words("ten fifteen twenty thirty forty fifty")
"""Second words of a time of day."""
