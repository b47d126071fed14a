"""The digits of number words, by the words' values, in the languages of `number_words`. Sans-IO."""

from __future__ import annotations

import re
from functools import lru_cache

from voicepipe.text.number_words import KINDS
from voicepipe.text.words import words_in

_BY_VALUE: dict[int, str] = {
    1: "one eins ein uno un une um uma een één एक वन ek jeden jedna один одна bir واحد واحدة 一 幺",
    2: "two zwei zwo dos deux due dois duas twee दो टू do dwa dwie два две iki اثنان اثنين اتنين 二 两 兩",
    3: "three drei tres trois tre três drie तीन थ्री teen trzy три üç ثلاثة تلاتة 三",
    4: "four vier cuatro quatre quattro quatro चार फोर char chaar cztery четыре dört أربعة اربعة 四",
    5: "five fünf cinco cinq cinque vijf पाँच पांच फाइव paanch panch pięć пять beş خمسة 五",
    6: "six sechs seis sei meia zes छह छः छे छ सिक्स chhe cheh sześć шесть altı ستة 六",
    7: "seven sieben siete sept sette sete zeven सात सेवन saat siedem семь yedi سبعة 七",
    8: "eight acht ocho huit otto oito आठ एट aath osiem восемь sekiz ثمانية تمانية 八",
    9: "nine niner neun nueve neuf nove negen नौ नाइन nau dziewięć девять dokuz تسعة 九",
    10: "ten zehn diez dix dieci dez tien dziesięć десять दस das عشرة عشر",
    11: "eleven elf once onze undici jedenaście одиннадцать ग्यारह gyarah",
    12: "twelve zwölf doce douze dodici doze twaalf dwanaście двенадцать बारह barah",
    13: "thirteen dreizehn trece treize tredici treze dertien trzynaście тринадцать तेरह",
    14: "fourteen vierzehn catorce quatorze quattordici catorze veertien czternaście четырнадцать चौदह",
    15: "fifteen fünfzehn quince quinze quindici vijftien piętnaście пятнадцать पंद्रह पन्द्रह",
    16: "sixteen sechzehn dieciséis seize sedici dezesseis dezasseis zestien szesnaście шестнадцать सोलह",
    17: "seventeen siebzehn diecisiete diciassette dezessete dezassete zeventien siedemnaście семнадцать सत्रह",
    18: "eighteen achtzehn dieciocho diciotto dezoito achttien osiemnaście восемнадцать अठारह",
    19: "nineteen neunzehn diecinueve diciannove dezenove dezanove negentien dziewiętnaście девятнадцать उन्नीस",
    20: "twenty zwanzig veinte vingt vingts venti vinte twintig dwadzieścia двадцать yirmi बीस عشرون عشرين",
    21: "veintiuno veintiún इक्कीस",
    22: "veintidós बाईस बाइस",
    23: "veintitrés तेईस",
    24: "veinticuatro चौबीस",
    25: "veinticinco पच्चीस",
    26: "veintiséis छब्बीस",
    27: "veintisiete सत्ताईस",
    28: "veintiocho अट्ठाईस",
    29: "veintinueve उनतीस उन्तीस",
    30: "thirty dreißig treinta trente trenta trinta dertig trzydzieści тридцать otuz तीस ثلاثون ثلاثين",
    40: "forty fourty vierzig cuarenta quarante quaranta quarenta veertig czterdzieści сорок kırk चालीस أربعون أربعين",
    50: "fifty fünfzig cincuenta cinquante cinquanta cinquenta vijftig pięćdziesiąt пятьдесят elli पचास خمسون خمسين",
    60: "sixty sechzig sesenta soixante sessanta sessenta zestig sześćdziesiąt шестьдесят altmış साठ ستون ستين",
    70: "seventy siebzig setenta septante settanta zeventig siedemdziesiąt семьдесят yetmiş सत्तर سبعون سبعين",
    80: "eighty achtzig ochenta huitante octante ottanta oitenta tachtig osiemdziesiąt восемьдесят seksen अस्सी"
    " ثمانون ثمانين",
    90: "ninety neunzig noventa nonante novanta negentig dziewięćdziesiąt девяносто doksan नब्बे تسعون تسعين",
}
_HINDI = {
    31: "इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस",
    41: "इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास",
    51: "इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ",
    61: "इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर",
    71: "इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उनासी",
    81: "इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी",
    91: "इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे",
}
"""Nine numbers in a row, by the first."""
_HINDI_TOO = {"चवालीस": 44, "उन्यासी": 79, "पंचानवे": 95}

VALUES: dict[str, int] = {word: 0 for word, kind in KINDS.items() if kind == "zero"}
"""Values up to 99, by the word as `words_in` gives it."""
VALUES |= {word: value for value, text in _BY_VALUE.items() for word in words_in(text)}
VALUES |= {word: first + place for first, text in _HINDI.items() for place, word in enumerate(words_in(text))}
VALUES |= {word: value for text, value in _HINDI_TOO.items() for word in words_in(text)}

TIMES: dict[str, int] = (
    dict.fromkeys(words_in("double doppel doppelt zweimal doble doppio doppia duplo dupla dubbel डबल"), 2)
    | dict.fromkeys(words_in("triple treble dreimal triplo drievoudig ट्रिपल"), 3)
    | {"quadruple": 4}
)
"""How often the digit after the word is meant."""

_THOUSANDS = frozenset(words_in("thousand tausend duizend тысяча tysiąc mil mille mila हज़ार हजार ألف"))


def power_of(word: str) -> int | None:
    """Returns 100 or 1000 for the word of it; None for other words."""
    return None if KINDS.get(word) != "power" else 1000 if word in _THOUSANDS else 100


_GERMAN = re.compile(r"(ein|zwei|zwo|drei|vier|fünf|sechs|sieben|acht|neun)und(\w+zig|dreissig)")
_DUTCH = re.compile(r"(een|één|twee|drie|vier|vijf|zes|zeven|acht|negen)[eë]n(\w+tig)")
_ITALIAN = re.compile(r"(vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[ia]?(uno|due|tr[eé]|\w+)")
_BIG = re.compile(
    r"(?:(?P<thousands>\w*?)(?:tausend|duizend))?(?:(?P<hundreds>(?!\d)\w*?)(?:hundert|honderd|cento))?"
    r"(?:und|en)?(?P<rest>\w*)"
)


@lru_cache(maxsize=1024)
def value_of(word: str) -> int | None:
    """Returns the value of a number word below 100, or of a compound such as `vierhundertfünf`; None: it has none."""
    if (value := VALUES.get(word)) is not None:
        return value
    if word.startswith("و") and len(word) > 2:  # Arabic writes `and` without a space
        return VALUES.get(word[1:])
    if len(word) < 6:
        return None
    for pattern in (_GERMAN, _DUTCH):
        if (match := pattern.fullmatch(word)) and match[2] in VALUES:
            return VALUES[match[2]] + VALUES[match[1]]
    if (match := _ITALIAN.fullmatch(word)) and (unit := VALUES.get(match[2].replace("é", "e"), 10)) < 10:
        tens = ("vent", "trent", "quarant", "cinquant", "sessant", "settant", "ottant", "novant").index(match[1])
        return 10 * (tens + 2) + unit
    return _value_of_big(word)


def _value_of_big(word: str) -> int | None:
    match = _BIG.fullmatch(word)
    if match is None or (match["thousands"] is None and match["hundreds"] is None):
        return None
    value = 0
    for name, size in (("thousands", 1000), ("hundreds", 100), ("rest", 1)):
        part = match[name]
        if part is None or (name == "rest" and not part):
            continue
        count = 1 if not part else value_of(part.removesuffix("und"))
        if count is None:
            return None
        value += count * size
    return value
