"""Language models that lose a part of what they are told, and say the rest again."""

from __future__ import annotations

from parrot import Reply, with_reply

from voicepipe.components.requests import Dtmf, ToolResults


def repeating(told):
    """A reply that does not say again all that it was told."""

    class Repeating(Reply):
        def told(self):
            return told(self.request, super().told())

    return type(told.__name__, (Repeating,), {})


def drops_what_is_not_ascii(request, text):
    return text.encode("ascii", "ignore").decode()


def cuts_text_off(request, text):
    return text[:20]


def writes_all_in_lower_case(request, text):
    return text.lower()


def drops_words_said_twice(request, text):
    words = text.split()
    return " ".join(word for word, before in zip(words, ["", *words], strict=False) if word != before)


def answers_what_was_said_first(request, text):
    return next((message.text for message in request.messages if message.role == "caller"), text)


def takes_one_key(request, text):
    return request.trigger.digits[:1] if isinstance(request.trigger, Dtmf) else text


def says_that_there_was_a_key(request, text):
    return f"a key{request.trigger.digits[:0]}" if isinstance(request.trigger, Dtmf) else text


def takes_one_result(request, text):
    return next(iter(request.trigger.results.values())) if isinstance(request.trigger, ToolResults) else text


def takes_no_keys(request, text):
    return request.messages[0].text if isinstance(request.trigger, Dtmf) else text


def takes_no_results(request, text):
    return request.messages[0].text if isinstance(request.trigger, ToolResults) else text


MUTANTS = [
    (with_reply(repeating(told)), "what_is_said_reaches_the_model_whole")
    for told in (
        drops_what_is_not_ascii,
        cuts_text_off,
        writes_all_in_lower_case,
        drops_words_said_twice,
        answers_what_was_said_first,
        takes_no_keys,
        takes_no_results,
        takes_one_key,
        says_that_there_was_a_key,
        takes_one_result,
    )
]
"""Each with the check that is meant for it."""
