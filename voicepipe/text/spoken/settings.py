"""Settings of how text is made speakable."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class SpeechSettings:
    """How a reply's text is cut into pieces for the synthesiser, and what is made of signs in it."""

    language: str | None = None
    """BCP 47 tag of what is spoken: `en`, `de-AT`. Null: not known, so numbers and addresses in replies are left as
    they are, and the caller's words are looked up in all languages."""
    first_segment_chars: int = field(default=30, validator=ge(0))
    """The first piece may be a clause of at least so many characters, so that speech begins early; 0: a sentence."""
    max_segment_chars: int = field(default=250, validator=ge(40))
    """Longer sentences are cut after a clause, or else between words."""
    markup: bool = True
    """Whether Markdown, HTML and code are taken out."""
    emoji: bool = True
    """Whether emoji are taken out."""
    addresses: bool = True
    """Whether web and e-mail addresses are put into words, if the language is known."""
    numbers: bool = True
    """Whether money, dates, times, ranges, telephone numbers, units and percentages are put so that any synthesiser
    says them properly, if the language is known."""
