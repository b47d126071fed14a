"""Settings of how text is made speakable."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class SpeechSettings:
    """Settings by which a reply's text is cut into pieces for the synthesiser, and signs in it are put into words."""

    language: str | None = None
    """BCP 47 tag of the spoken language: `en`, `de-AT`. Null: not known, so numbers and addresses in replies stay as
    they are, and the caller's words are looked up in all languages."""
    first_segment_chars: int = field(default=30, validator=ge(0))
    """The first piece may be a clause of at least so many characters, so that speech begins early; 0: a sentence."""
    max_segment_chars: int = field(default=250, validator=ge(40))
    """Longer sentences are cut after a clause, or else between words."""
    markup: bool = True
    """If true, Markdown, HTML and code are removed."""
    emoji: bool = True
    """If true, emoji are removed."""
    addresses: bool = True
    """If true, web and e-mail addresses are put into words; needs `language`."""
    numbers: bool = True
    """If true, money, dates, times, ranges, telephone numbers, units and percentages are rewritten so that
    any synthesiser says them properly; needs `language`."""
