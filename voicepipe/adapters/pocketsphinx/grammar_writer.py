"""Writes grammars for PocketSphinx: in the dictionary's words, and without the parts that it can't recognise. No I/O.

A word that the dictionary lacks makes everything impossible that needs it: its sequence, and a rule that is nothing
but that sequence, and so on. An alternative or an optional part that has become impossible is left out, and the rest of
the grammar remains. To PocketSphinx only the first public rule counts, so the public rules become alternatives of one.
Rules are numbered, so that no name has to be valid in its parser too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.adapters.pocketsphinx.grammar import (
    NULL,
    VOID,
    Expansion,
    Grammar,
    GrammarAlternatives,
    GrammarRepeat,
    GrammarSequence,
    GrammarWord,
    RuleReference,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


def write_grammar(grammar: Grammar, spell: Callable[[str], tuple[str, ...]]) -> str | None:
    """Writes a grammar in JSGF, with one public rule for all public rules of the grammar.

    Args:
        grammar: the grammar; its words are written as they are spelled by `spell`.
        spell: returns a word's spelling in words of the dictionary; empty if the dictionary lacks it.

    Returns:
        The text, or None if nothing that could be recognised remains.

    """
    rules = {name: _spelled(rule, spell) for name, rule in grammar.rules.items()}
    while impossible := {name for name, rule in rules.items() if rule == VOID}:
        rules = {name: _without(rule, impossible) for name, rule in rules.items() if name not in impossible}
    public = [name for name in grammar.public if name in rules]
    if not public:
        return None
    names = {name: f"r{number}" for number, name in enumerate(rules)}
    lines = [f"<{names[name]}> = {_format(rule, names)};" for name, rule in rules.items()]
    top = " | ".join(f"<{names[name]}>" for name in public)
    return "\n".join(["#JSGF V1.0;", "grammar voicepipe;", f"public <top> = {top};", *lines])


def _spelled(expansion: Expansion, spell: Callable[[str], tuple[str, ...]]) -> Expansion:
    """The expansion in words of the dictionary."""

    def replace(leaf: GrammarWord | RuleReference) -> Expansion:
        if isinstance(leaf, RuleReference):
            return leaf
        words = tuple(map(GrammarWord, spell(leaf.text)))
        return VOID if not words else words[0] if len(words) == 1 else GrammarSequence(words)

    return _rewrite(expansion, replace)


def _without(expansion: Expansion, rules: Container[str]) -> Expansion:
    """The expansion without the parts that need one of these rules."""
    return _rewrite(expansion, lambda leaf: VOID if isinstance(leaf, RuleReference) and leaf.rule in rules else leaf)


def _rewrite(expansion: Expansion, replace: Callable[[GrammarWord | RuleReference], Expansion]) -> Expansion:
    """The expansion with its leaves replaced, and simplified where a replacement is NULL or VOID."""
    match expansion:
        case GrammarSequence(parts):
            kept = [rewritten for part in parts if (rewritten := _rewrite(part, replace)) != NULL]
            return VOID if VOID in kept else kept[0] if len(kept) == 1 else GrammarSequence(tuple(kept))
        case GrammarAlternatives(alternatives, weights):
            pairs = zip(alternatives, weights or ("1",) * len(alternatives), strict=True)
            left = [(rewritten, weight) for part, weight in pairs if (rewritten := _rewrite(part, replace)) != VOID]
            if len(left) == 1:
                return left[0][0]
            return GrammarAlternatives(
                tuple(part for part, _ in left), tuple(weight for _, weight in left) if weights else ()
            )
        case GrammarRepeat(part, sign):
            rewritten = _rewrite(part, replace)
            if rewritten == VOID:
                return VOID if sign == "+" else NULL
            return NULL if rewritten == NULL else GrammarRepeat(rewritten, sign)
        case _:
            return replace(expansion)


def _format(expansion: Expansion, names: Mapping[str, str]) -> str:  # noqa: PLR0911 - a case for each kind
    match expansion:
        case GrammarWord(text):
            return text
        case RuleReference(rule):
            return f"<{names[rule]}>"
        case GrammarSequence(()):
            return "<NULL>"
        case GrammarSequence(parts):
            return " ".join(_format(part, names) for part in parts)
        case GrammarAlternatives(alternatives, weights):
            texts = [_format(alternative, names) for alternative in alternatives]
            if weights:
                texts = [f"/{weight}/ {text}" for weight, text in zip(weights, texts, strict=True)]
            return f"({' | '.join(texts)})"
        case GrammarRepeat(part, "?"):
            return f"[{_format(part, names)}]"
        case GrammarRepeat(part, sign):
            return f"({_format(part, names)}){sign}"
