"""Abbreviations by language: a full stop after them does not end the sentence."""

from __future__ import annotations

_MONTHS_EN = frozenset({"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "oct", "nov", "dec"})

ABBREVIATIONS = {
    "en": _MONTHS_EN
    | frozenset(
        {"mr", "mrs", "ms", "dr", "prof", "rev", "hon", "sr", "jr", "st", "mt", "ft", "gen", "sgt", "capt", "lt"}
    )
    | frozenset({"vs", "e.g", "i.e", "etc", "approx", "a.m", "p.m", "ca", "cf", "incl", "excl", "misc"})
    | frozenset({"dept", "ext", "tel", "est", "inc", "ltd", "co", "corp", "ave", "blvd", "rd"}),
    "de": frozenset(
        {"hr", "hrn", "fr", "dr", "prof", "dipl", "ing", "st", "str", "tel", "zzgl", "inkl", "exkl", "bzw", "zw"}
    )
    | frozenset({"z.b", "d.h", "u.a", "o.ä", "s.o", "i.d.r", "v.a", "usw", "evtl", "ggf", "vgl", "bspw", "ca", "etc"})
    | frozenset(
        {"mio", "mrd", "max", "min", "geb", "abs", "zw", "jan", "feb", "apr", "aug", "sept", "okt", "nov", "dez"}
    ),
    "es": frozenset({"sr", "sra", "sres", "srta", "dr", "dra", "d", "dña", "ud", "uds", "vd", "vds", "prof", "lic"})
    | frozenset(
        {
            "p.ej",
            "ej",
            "ee",
            "uu",
            "ee.uu",
            "etc",
            "tel",
            "tfno",
            "av",
            "avda",
            "aprox",
            "pág",
            "págs",
            "c",
            "a.m",
            "p.m",
        }
    ),
    "fr": frozenset(
        {"mme", "mmes", "mlle", "dr", "me", "pr", "st", "ste", "p.ex", "c.-à-d", "etc", "env", "tél", "av"}
    ),
    "it": frozenset({"sig", "sig.ra", "sigg", "dott", "dott.ssa", "prof", "avv", "ing", "ecc", "es", "tel", "ca"}),
    "pt": frozenset({"sr", "sra", "srta", "dr", "dra", "prof", "profa", "etc", "ex", "tel", "av", "aprox"}),
    "nl": frozenset(
        {"dhr", "mevr", "mw", "dr", "prof", "bijv", "d.w.z", "o.a", "enz", "etc", "ca", "tel", "nl", "incl"}
    ),
    "zh": frozenset[str](),
    "ar": frozenset({"أ.د", "م.ب", "إلخ"}),
    "hi": frozenset({"डॉ", "श्री", "प्रो", "सं", "रु"}),
}
"""Without their last full stop, in lower case; single letters, and several with full stops between, count anyway."""

BEFORE_NUMBERS = (
    frozenset({"no", "nos", "nr", "nrn", "num", "núm", "núms", "nº", "n°", "art", "arts", "fig", "figs", "vol", "vols"})
    | frozenset({"sec", "secs", "ch", "chap", "cap", "caps", "kap", "pp", "par", "para", "abs", "abb", "bd", "bde"})
    | frozenset({"tab", "ziff", "lit", "pág", "págs", "pag", "blz", "hfst", "ver", "vers", "rev", "ref", "réf", "pos"})
    | frozenset({"apdo", "tel", "tél", "tfno", "ext", "int", "apt", "apto", "rm", "fl", "bldg", "ste", "hwy", "rte"})
    | frozenset({"plz", "kto", "str", "st", "av", "ave", "rd", "blvd", "approx", "ca", "env", "min", "max", "rs", "kl"})
    | frozenset({"lfd", "dept"})
)
"""Abbreviations only if a number follows, in any language: `No. 5`, but `No. That is wrong.`"""

STREETS = ("str", "pl")
"""Ends of words that are abbreviated streets if a number follows: `Bahnhofstr. 12`, `Rathauspl. 3`."""

ORDINALS = frozenset(
    {"de", "da", "nb", "nn", "no", "fi", "is", "cs", "sk", "pl", "hu", "sl", "hr", "sr", "bs", "et", "lv", "lt", "tr"}
)
"""Languages in which a number with a full stop is an ordinal: `am 3. Mai`."""
