"""Tells card numbers, IBANs and telephone numbers from other numbers. Sans-IO.

Both checks that have a standard are a few lines each (Luhn's of ISO/IEC 7812-1, modulo 97 of ISO 13616), so they stand
here. For telephone numbers there is none: what is a number depends on where the caller is, which nobody knows, and a
number that was misheard, or is reserved for films, is private all the same. So the form decides, and the words before
it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import regex

from voicepipe.text.private.digit_runs import DigitRun, gaps, is_glued
from voicepipe.text.spelling import quantities
from voicepipe.text.vocabulary import ALPHABETS
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""Indices of the first character and after the last."""

# --- Cards ----------------------------------------------------------------------------------------------------------

_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|09|[689]\d)\d{11,16}"  # Diners Club
    r"|6(?:011|4[4-9]\d|5\d{2})\d{12,15}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|62\d{14,17}"  # UnionPay
    r"|(?:50|5[6-9]|6[0-9])\d{10,17}"  # Maestro, RuPay, Elo
    r"|220[0-4]\d{12,15}"  # Mir
    r"|9792\d{12}"  # Troy
)
_MAY_BECOME = re.compile(r"[4]|5[0-9]|2[2-7]|3[04-9]|6[0-9]|9792")
SHORTEST_CARD, LONGEST_CARD = 12, 19


def is_card_number(digits: str) -> bool:
    """Returns True if digits are those of a payment card: an issuer's, of its length, with a right check digit."""
    return _ISSUERS.fullmatch(digits) is not None and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Returns True if the last digit is right by Luhn's algorithm."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def may_begin_card(digits: str) -> bool:
    """Returns True if digits may be the first ones of a card number, and are not all of it."""
    return len(digits) < SHORTEST_CARD + 4 and _MAY_BECOME.match(digits) is not None


def card_numbers(runs: Iterable[DigitRun]) -> Iterator[Span]:
    """Yields where card numbers are."""
    for run in runs:
        taken = -1
        found = [
            (begin, end) for begin, end, digits in run.windows(SHORTEST_CARD, LONGEST_CARD) if is_card_number(digits)
        ]
        for begin, end in sorted(found, key=lambda span: (span[0], -span[1])):
            if begin >= taken:
                yield begin, end
                taken = end
        yield from _within_figures(run)


def _within_figures(run: DigitRun) -> Iterator[Span]:
    """Yields card numbers at the beginning of longer groups of figures: with a date of expiry stuck to it."""
    for token in run.tokens:
        if token.figures and len(token.digits) > LONGEST_CARD:
            for length in (19, 16, 15, 14, 13):
                if is_card_number(token.digits[:length]):
                    yield token.begin, token.end
                    break


# --- IBANs ----------------------------------------------------------------------------------------------------------

_LENGTHS = dict(
    re.findall(
        r"([A-Z]{2})(\d{2})",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27"
        "GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22"
        "MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28"
        "TL23TN24TR26UA29VA22VG24XK20YE30",
    )
)
"""Characters of an IBAN, by its country."""

FEWEST_IBAN_DIGITS = 6
"""Every IBAN has more digits; a text with fewer is not looked at."""

_ATOM = regex.compile(r"\p{Nd}+|[\p{L}\p{M}'’]+")
_BETWEEN = re.compile(r"[\s.,:;\-–_/]{0,4}")


def is_iban(text: str) -> bool:
    """Returns True if letters and digits are an IBAN: of its country's length, with right check digits."""
    if text[:2].upper() not in _LENGTHS or len(text) != int(_LENGTHS[text[:2].upper()]) or not text[2:4].isdecimal():
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def ibans(text: str, runs: Iterable[DigitRun]) -> Iterator[Span]:
    """Yields where IBANs are, in groups or not, spelled or not."""
    runs = tuple(runs)
    if sum(len(run.digits) for run in runs) < FEWEST_IBAN_DIGITS:
        return
    atoms = _iban_atoms(text, runs)
    at = 0
    while at < len(atoms):
        size = _iban_at(atoms, at, text)
        if size:
            yield atoms[at][0], atoms[at + size - 1][1]
        at += size or 1


def _iban_atoms(text: str, runs: Iterable[DigitRun]) -> list[tuple[int, int, str]]:
    """Returns the parts of a text that IBANs are made of: figures, numbers in words, and short groups of letters."""
    atoms = [(token.begin, token.end, token.digits) for run in runs for token in run.tokens]
    taken = {index for begin, end, _ in atoms for index in range(begin, end)}
    for match in _ATOM.finditer(text):
        if match.start() in taken:
            continue
        word = match[0]
        if (folded := "".join(words_in(word))) and any(folded in alphabet for alphabet in ALPHABETS):
            letters = folded[0].upper()
        elif len(word) <= 6 and word.isascii() and word.isalpha():
            letters = word.upper()
        else:
            continue
        atoms.append((match.start(), match.end(), letters))
    return sorted(atoms)


def _iban_at(atoms: list[tuple[int, int, str]], at: int, text: str) -> int:
    """Returns the number of parts of the IBAN that begins with one; 0: none does."""
    collected, wanted = "", 0
    for place in range(at, min(len(atoms), at + 40)):
        begin, _, part = atoms[place]
        if place > at and not _BETWEEN.fullmatch(text, atoms[place - 1][1], begin):
            return 0
        collected += part
        if len(collected) >= 2 and not wanted:
            wanted = int(_LENGTHS.get(collected[:2], 0))
            if not wanted:
                return 0
        if wanted and len(collected) >= wanted:
            return place - at + 1 if is_iban(collected) else 0
    return 0


# --- Telephone numbers ----------------------------------------------------------------------------------------------

_NORTH_AMERICAN = re.compile(r"1?[2-9]\d{2}[2-9]\d{6}")
_SHORTEST, _LONGEST = 7, 15
_PLUS = re.compile(r"(?:\+|\bplus)[\s(]{0,3}\Z", re.IGNORECASE)
_BEFORE = regex.compile(r"[\p{L}\p{M}]+")
_CUES = tuple(
    words_in(
        "phone tele tel mobil cell handy móvil portable call rückruf anruf rufnummer durchwahl fax whatsapp sms reach"
        " llam appel rappel ring dial téléphone teléfono celular contact text number numero numéro número nummer"
    )
)
"""Beginnings of words before telephone numbers."""
_OTHERS = tuple(
    words_in(
        "order invoice ticket case reference ref booking customer account tracking serial policy contract article part"
        " item parcel shipment member confirmation amount total price id bestell rechnung auftrag vorgang kunden konto"
        " sendung vertrag artikel buchung pedido factura cuenta cliente reserva commande facture dossier compte client"
        " ordine fattura pratica prenotazione bestelling factuur klant isbn ean sku"
    )
)
"""Beginnings of words before other numbers."""


def telephone_numbers(text: str, runs: Iterable[DigitRun]) -> Iterator[Span]:
    """Yields where telephone numbers are."""
    runs = [run for run in runs if len(run.digits) >= _SHORTEST]
    amounts = quantities(text) if runs else []
    for run in runs:
        for part in _parts(text, run):
            if any(begin < part.end and part.begin < end for begin, end in amounts):
                continue
            plus = _PLUS.search(text, max(0, part.begin - 8), part.begin)
            if _is_telephone_number(text, part, has_plus=plus is not None):
                begin = plus.start() if plus else part.begin
                yield begin - (text[begin - 1 : begin] == "(" and ")" in text[begin : part.end]), part.end


def _parts(text: str, run: DigitRun) -> Iterator[DigitRun]:
    """Yields a run in parts: a comma or a full stop ends a number in figures that is long enough."""
    tokens = [run.tokens[0]]
    for token, gap in zip(run.tokens[1:], gaps(text, run), strict=True):
        in_figures = tokens[-1].figures and token.figures
        ends = re.search(r"[;+\n]", gap) or (in_figures and re.search(r"[,.:]\s", gap))
        if "+" in gap or (ends and sum(len(before.digits) for before in tokens) >= _SHORTEST):
            yield DigitRun(tuple(tokens))
            tokens = []
        tokens.append(token)
    yield DigitRun(tuple(tokens))


def _is_telephone_number(text: str, run: DigitRun, *, has_plus: bool) -> bool:  # noqa: PLR0911 - a rule each
    digits = run.digits
    if not _SHORTEST <= len(digits) <= _LONGEST + 2 or is_glued(text, run):
        return False
    if has_plus:
        return len(digits) <= _LONGEST
    before = ["".join(words_in(word)) for word in _BEFORE.findall(text, max(0, run.begin - 60), run.begin)][-5:]
    if any(word.startswith(other) for word in before[-4:] for other in _OTHERS):
        return False
    if any(word.startswith(cue) for word in before for cue in _CUES) and len(digits) <= _LONGEST:
        return True
    if digits[0] == "0":
        return len(digits) <= (_LONGEST + 2 if digits[:2] == "00" else 13)
    if _NORTH_AMERICAN.fullmatch(digits):
        return True
    said = len(run.tokens) > 2
    if len(digits) == 7:
        return digits[0] in "23456789" and [len(token.digits) for token in run.tokens] == [3, 4]
    return said and 9 <= len(digits) <= 11 and digits[0] in "6789"
