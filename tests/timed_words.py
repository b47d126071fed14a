"""A reply of three sentences that a voice of `MS_A_CHAR` speaks: its words by the time at which each is whole."""

from __future__ import annotations

REPLY = "Your order has left us. It is on its way now. You will have it by noon."
MS_A_CHAR = 40
SENTENCES = [sentence + "." for sentence in REPLY[:-1].split(". ")]
LENGTH_MS = sum(map(len, SENTENCES)) * MS_A_CHAR


def words_within(ms):
    """The words of the reply that are whole in its first `ms`, as `heard_text` counts them."""
    words, at = [], 0
    for sentence in SENTENCES:
        chars = (ms - at) / MS_A_CHAR
        at += len(sentence) * MS_A_CHAR
        if chars >= len(sentence) - 0.01:
            words.append(sentence)
        elif chars > 0:
            words.append(sentence[: int(chars) + 1].rpartition(" ")[0].rstrip())
    return " ".join(filter(None, words))
