"""The few words by which signs are said, by language; names of months and currencies come from the Unicode CLDR."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Words:
    """The words for signs."""

    dot: str
    """`.` in an address."""
    at: str
    """`@` in an address."""
    plus: str
    """`+` before a telephone number, or in an address."""
    underscore: str
    """`_` in an address."""
    dash: str
    """`-` in an address."""
    percent: str
    """`{}` is the number."""
    to: str
    """`{}` twice: a range."""
    and_: str
    """`&`."""
    number: str
    """`#` before a number: `{}`."""
    extension: str
    """Before the digits of a telephone number that are dialled when it answers."""
    money: Mapping[str, tuple[str, str]] = field(factory=dict)
    """One and several of a currency by its sign, where people don't say its full name."""
    scales: Mapping[str, tuple[str, str]] = field(factory=dict)
    """One and several of `m`, `bn`, `tn`, `lakh`, `cr` of money."""
    of: str = ""
    """Between such a word and the currency: `millones de dólares`."""
    hours: tuple[str, str] | None = None
    """One and several, where a time is written `8h30` and nothing else is."""
    day_after: str = ""
    """A pattern of the words before a day and a month in figures, where `12.5.` is one."""


_RUPEES = {"lakh": ("lakh", "lakh"), "cr": ("crore", "crore")}

WORDS = {
    "en": Words(
        "dot", "at", "plus", "underscore", "dash", "{} percent", "{} to {}", "and", "number {}", "extension",
        {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "₹": ("rupee", "rupees"), "¥": ("yen", "yen")},
        {"m": ("million", "million"), "bn": ("billion", "billion"), "tn": ("trillion", "trillion"), **_RUPEES},
    ),
    "de": Words(
        "Punkt", "ät", "plus", "Unterstrich", "Bindestrich", "{} Prozent", "{} bis {}", "und", "Nummer {}", "Durchwahl",
        {"$": ("Dollar", "Dollar"), "£": ("Pfund", "Pfund")},
        {"m": ("Million", "Millionen"), "bn": ("Milliarde", "Milliarden"), "tn": ("Billion", "Billionen")},
        day_after=r"\b(?:am|vom|bis|zum|den|ab|seit|und|(?:Mo|Di|Mi|Do|Fr|Sa|So)\.?,?|\w+tag,?) $|\.\s?[\u2013-]\s?$",
    ),
    "es": Words(
        "punto", "arroba", "más", "guion bajo", "guion", "{} por ciento", "{} a {}", "y", "número {}", "extensión",
        {"$": ("dólar", "dólares"), "£": ("libra", "libras")},
        {"m": ("millón", "millones"), "bn": ("mil millones", "mil millones"), "tn": ("billón", "billones")},
        "de ",
    ),
    "fr": Words(
        "point", "arobase", "plus", "tiret bas", "tiret", "{} pour cent", "{} à {}", "et", "numéro {}", "poste",
        {"$": ("dollar", "dollars"), "£": ("livre", "livres")},
        {"m": ("million", "millions"), "bn": ("milliard", "milliards"), "tn": ("billion", "billions")},
        "de ",
        ("heure", "heures"),
    ),
    "it": Words(
        "punto", "chiocciola", "più", "trattino basso", "trattino", "{} percento", "{} a {}", "e", "numero {}",
        "interno",
        {"$": ("dollaro", "dollari"), "£": ("sterlina", "sterline")},
        {"m": ("milione", "milioni"), "bn": ("miliardo", "miliardi")},
        "di ",
    ),
    "pt": Words(
        "ponto", "arroba", "mais", "sublinhado", "hífen", "{} por cento", "{} a {}", "e", "número {}", "ramal",
        {"$": ("dólar", "dólares"), "£": ("libra", "libras"), "R$": ("real", "reais")},
        {"m": ("milhão", "milhões"), "bn": ("bilhão", "bilhões")},
        "de ",
    ),
    "nl": Words(
        "punt", "apenstaartje", "plus", "liggend streepje", "streepje", "{} procent", "{} tot {}", "en", "nummer {}",
        "toestel",
        {"$": ("dollar", "dollar"), "£": ("pond", "pond")},
        {"m": ("miljoen", "miljoen"), "bn": ("miljard", "miljard")},
    ),
    "zh": Words(
        "点", "艾特", "加", "下划线", "横杠", "百分之{}", "{}到{}", "和", "{}号", "转",
        {"¥": ("元", "元"), "$": ("美元", "美元")},
    ),
    "ar": Words(
        "نقطة", "آت", "زائد", "شرطة سفلية", "شرطة", "{} بالمئة", "{} إلى {}", "و", "رقم {}", "تحويلة",
        {"$": ("دولار", "دولار")},
        {"m": ("مليون", "مليون"), "bn": ("مليار", "مليار")},
    ),
    "hi": Words(
        "डॉट", "ऐट", "प्लस", "अंडरस्कोर", "डैश", "{} प्रतिशत", "{} से {}", "और", "नंबर {}", "एक्सटेंशन",
        {"$": ("डॉलर", "डॉलर"), "₹": ("रुपया", "रुपये")},
        {"m": ("मिलियन", "मिलियन"), "bn": ("अरब", "अरब"), "lakh": ("लाख", "लाख"), "cr": ("करोड़", "करोड़")},
    ),
}  # fmt: skip
"""Words for signs by language. In other languages, signs are left to the synthesiser."""

SAID_BEFORE_DIGITS = (
    r"call|dial|phone|telephone|tel|fax|mobile|cell|text|hotline|extension|"
    r"rufnummer|telefon|telefonnummer|nummer|anrufen|rufen|wählen|handy|mobil|durchwahl|"
    r"appelez|appeler|téléphone|tél|numéro|composez|portable|llame|llamar|teléfono|móvil|marque|número|"
    r"chiamare|chiami|telefono|cellulare|numero|ligue|telefone|telemóvel|celular|bel|telefoonnummer|mobiel|"
    r"هاتف|اتصل|رقم|الرقم|फ़ोन|फोन|कॉल|नंबर|मोबाइल"
)
"""Words after which a number is one that is dialled."""

SAID_BEFORE_CODES = (
    r"code|pin|otp|passcode|tan|cvv|cvc|zip|ending in|plz|postleitzahl|code postal|código|codice|postcode|"
    r"رمز|الرمز|कोड|पिन"
)
"""Words after which a number is read digit by digit."""
