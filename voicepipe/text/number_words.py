"""Words for digits and numbers up to thousands, in a dozen languages. Sans-IO.

A language is not asked for: callers read out numbers in one language and talk in another, and words that are
something else elsewhere (`once`, `do`) do no harm, for it takes several in a row to make a number that is read out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from voicepipe.text.words import words_in

Kind = Literal["zero", "unit", "pair", "ten", "power", "whole", "sign", "times", "join"]
"""`unit`: 1 to 9; `pair`: two digits that no further one belongs to (10 to 19, and `dreiundzwanzig`); `ten`: 20, 30
..., to which a unit may belong; `power`: hundred, thousand; `whole`: `vierhundertfünf`; `sign`: 十, which is said but
is no digit; `times`: double, triple; `join`: what stands between a ten and its unit."""

_WORDS: dict[Kind, tuple[str, ...]] = {
    "zero": (
        "zero oh null cero zéro nul nought naught zilch ноль нуль sıfır صفر ٠ शून्य ज़ीरो जीरो शुन्य shunya 零 〇 ○ 洞",
        "zerowy nolla noll",
    ),
    "unit": (
        "one two three four five six seven eight nine niner",
        "eins ein zwei zwo drei vier fünf sechs sieben acht neun",
        "uno un dos tres cuatro cinco seis siete ocho nueve",
        "une deux trois quatre cinq sept huit neuf",
        "due tre quattro cinque sei sette otto nove",
        "um uma dois duas três quatro meia sete oito",
        "een één twee drie vijf zes zeven negen",
        "एक दो तीन चार पाँच पांच छह छः छे छ सात आठ नौ वन टू थ्री फोर फाइव सिक्स सेवन एट नाइन",
        "ek do teen char chaar paanch panch chhe cheh saat aath nau",
        "jeden dwa trzy cztery pięć sześć siedem osiem dziewięć",
        "один два три четыре пять шесть семь восемь девять одна две",
        "bir iki üç dört beş altı yedi sekiz dokuz",
        "واحد واحدة اثنان اثنين اتنين ثلاثة تلاتة أربعة اربعة خمسة ستة سبعة ثمانية تمانية تسعة",
        "一 二 三 四 五 六 七 八 九 两 兩 幺",
    ),
    "pair": (
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
        "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
        "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
        "veintiuno veintiún veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete",
        "veintiocho veintinueve",
        "dix onze douze treize quatorze quinze seize",
        "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove",
        "dez doze treze catorze quatorze dezesseis dezasseis dezessete dezassete dezoito dezenove dezanove",
        "tien twaalf dertien veertien vijftien zestien zeventien achttien negentien",
        "dziesięć jedenaście dwanaście trzynaście czternaście piętnaście szesnaście siedemnaście osiemnaście",
        "dziewiętnaście",
        "десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать",
        "девятнадцать",
        "दस ग्यारह बारह तेरह चौदह पंद्रह पन्द्रह सोलह सत्रह अठारह उन्नीस इक्कीस बाईस बाइस तेईस चौबीस पच्चीस छब्बीस सत्ताईस",
        "अट्ठाईस उनतीस उन्तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस इकतालीस बयालीस तैंतालीस चौवालीस",
        "चवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ इकसठ",
        "बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर",
        "उनासी उन्यासी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी इक्यानवे बानवे तिरानवे चौरानवे",
        "पचानवे पंचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे das gyarah barah",
        "عشرة عشر",
    ),
    "ten": (
        "twenty thirty forty fourty fifty sixty seventy eighty ninety",
        "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
        "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
        "vingt trente quarante cinquante soixante septante huitante octante nonante",
        "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
        "vinte trinta quarenta cinquenta sessenta oitenta",
        "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
        "dwadzieścia trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt siedemdziesiąt osiemdziesiąt dziewięćdziesiąt",
        "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
        "yirmi otuz kırk elli altmış yetmiş seksen doksan",
        "बीस तीस चालीस पचास साठ सत्तर अस्सी नब्बे",
        "عشرون عشرين ثلاثون ثلاثين أربعون أربعين خمسون خمسين ستون ستين سبعون سبعين ثمانون ثمانين تسعون تسعين",
    ),
    "power": (
        "hundred thousand hundert tausend cien ciento cent cents cento cem honderd duizend sto сто yüz सौ हज़ार हजार",
        "mil mille mila tysiąc тысяча مئة مائة ألف",
    ),
    "sign": ("十 百 千 万 萬",),
    "times": (
        "double triple treble quadruple doppel doppelt dreimal zweimal doble doppio doppia duplo dupla dubbel",
        "डबल ट्रिपल",
    ),
    "join": ("and und y et e en و i и",),
}

KINDS: dict[str, Kind] = {
    word: kind for kind, lists in reversed(_WORDS.items()) for text in lists for word in words_in(text)
}
"""By the word, as `words_in` gives it."""

_GERMAN_UNIT = "(?:ein|zwei|zwo|drei|vier|fünf|sechs|sieben|acht|neun)"
_DUTCH_UNIT = "(?:een|één|twee|drie|vier|vijf|zes|zeven|acht|negen)"
_COMPOUND = re.compile(
    rf"{_GERMAN_UNIT}und(?:zwanzig|dreissig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig)"
    rf"|{_DUTCH_UNIT}[eë]n(?:twintig|dertig|veertig|vijftig|zestig|zeventig|tachtig|negentig)"
    r"|(?:vent|trent|quarant|cinquant|sessant|settant|ottant|novant)(?:uno|otto|[ia](?:due|tre|tré|quattro|cinque|sei"
    r"|sette|nove))"
)
"""Two digits in one word: German, Dutch and Italian."""
_BIG_COMPOUND = re.compile(
    rf"(?:{_GERMAN_UNIT}?(?:hundert|tausend)(?:und)?)+(?P<de>.*)|(?:{_DUTCH_UNIT}?(?:honderd|duizend)(?:en)?)+(?P<nl>.*)"
    r"|(?:due|tre|quattro|cinque|sei|sette|otto|nove)?cento(?P<it>.*)"
)
_CUT_SHORT = re.compile(rf"{_GERMAN_UNIT}und|(?:twee|drie)ën|(?:een|vijf|zes|zeven|acht|negen)en")
"""The first half of a compound: the second is still to be said."""


@lru_cache(maxsize=1024)
def kind_of(word: str) -> Kind | None:
    """Returns the value of a number word; None if it is not one. Digits themselves are not asked about."""
    if (kind := KINDS.get(word)) is not None:
        return kind
    if word.startswith("و") and len(word) > 2:  # Arabic writes `and` without a space
        return KINDS.get(word[1:])
    if len(word) > 5:
        if _COMPOUND.fullmatch(word):
            return "pair"
        if (big := _BIG_COMPOUND.fullmatch(word)) is not None:
            rest = big["de"] or big["nl"] or big["it"] or ""
            if not rest:
                return "power"
            return "whole" if kind_of(rest) in {"unit", "pair", "ten"} else None
    return None


def is_cut_short(word: str) -> bool:
    """Returns True if a word is the first half of a number."""
    return _CUT_SHORT.fullmatch(word) is not None
