"""Consent to the recording, as rows of the table of turn-taking, for its test."""

from turn_situations import BY_PROGRAM, BYE, CANCEL, PATHS, SORRY

from voicepipe.calls.turns.actions import (
    Announce,
    BeginTransfer,
    FinaliseTranscript,
    GiveUpOnFinal,
    Reply,
    SettleConsent,
)
from voicepipe.calls.turns.events import (
    AnswerDue,
    Answered,
    ConsentRequest,
    DrainAsked,
    EndOfTurn,
    EndOfTurnDue,
    Final,
    FinalOverdue,
    HangUpAsked,
    KeyPressed,
    MaxLengthDue,
    Partial,
    RecogniserFound,
    RecogniserLost,
    ReplyAudible,
    ReplyEnded,
    RoleFailed,
    SayAsked,
    Saying,
    SpeechBegan,
    SpeechEnded,
    TransferAsked,
    WarningDue,
)
from voicepipe.components.requests import CallStarted, Dtmf, Utterance

TOLD, ASKED = ConsentRequest("We record.", asks=False), ConsentRequest("May we?", asks=True, answer_s=6)
LONG = ConsentRequest("May we?", asks=True, answer_s=100)
GIVEN, REFUSED, ANNOUNCED = SettleConsent("given"), SettleConsent("refused"), SettleConsent("announced")
ANNOUNCING = ((0, Answered("Hi.", consent=TOLD)), (0.1, ReplyAudible()))
ASKING = ((0, Answered("Hi.", consent=ASKED)), (0.1, ReplyAudible()))
AWAITING = (*ASKING, (2, ReplyEnded()))
ANSWERING = (*AWAITING, (3, SpeechBegan()))
ANSWERED = (*ANSWERING, (4, SpeechEnded(0.2, 3800)))
ASKED_FOR_WORDS = (*ANSWERED, (4.5, "tick"))
AGAIN = (*ASKED_FOR_WORDS, (4.6, Final("what for", audio_ms=3800)), (4.7, ReplyAudible()), (6, ReplyEnded()))
FIRST = ((0, Answered("Hi.", 4, ASKED)),)
WHAT = Utterance("what for")


def greeted(*inputs):
    return Announce("Hi.", inputs=inputs)


PATHS |= {
    "announcing": ANNOUNCING,
    "announcing_over_speech": (*ANNOUNCING, (1, SpeechBegan())),
    "announcing_over_words": (*ANNOUNCING, (1, Final("hello"))),
    "asking": ASKING,
    "asking_over_speech": (*ASKING, (1, SpeechBegan())),
    "asking_over_yes": (*ASKING, (1, Final("yes"))),
    "awaiting": AWAITING,
    "awaiting_long": ((0, Answered("Hi.", consent=LONG)), (0.1, ReplyAudible()), (2, ReplyEnded())),
    "awaiting_for_the_model": ((0, Answered(None, consent=ASKED)), (0.1, ReplyAudible()), (2, ReplyEnded())),
    "awaiting_after_yes_over_question": (*ASKING, (1, Final("yes")), (2, ReplyEnded())),
    "answering": ANSWERING,
    "answering_late": (*AWAITING, (7.9, SpeechBegan())),
    "answering_with_words": (*ANSWERING, (3.5, Final("yes", audio_ms=3400))),
    "answered_with_words": (*ANSWERED, (4.1, Final("yes", audio_ms=3800))),
    "answer_ended": ANSWERED,
    "asked_for_answer": ASKED_FOR_WORDS,
    "asked_for_answer_late": (*AWAITING, (7.9, SpeechBegan()), (18, "tick")),
    "asked_again": AGAIN,
    "called_to_ask": FIRST,
    "called_to_ask_and_heard": (*FIRST, (1, SpeechBegan()), (2, SpeechEnded(0.2, 1800)), (2.5, "tick")),
    "to_transfer_after_consent": (*AWAITING, (3, TransferAsked("100"))),
    "to_say_after_consent": (*AWAITING, (3, SayAsked(Saying("Listen.", 1)))),
}

CASES = [
    # It comes first.
    ("answered", Answered("Hi.", consent=TOLD), 0, [Announce("We record.")], "asking_consent"),
    ("answered", Answered(None, consent=ASKED), 0, [Announce("May we?")], "asking_consent"),
    ("answered", Answered("Hi.", 4, ASKED), 0, [], "awaiting_consent"),
    ("called_to_ask", AnswerDue(), 4, [Announce("May we?")], "asking_consent"),
    ("called_to_ask", KeyPressed("1"), 2, [Announce("May we?", inputs=(Dtmf("1"),))], "asking_consent"),
    (
        "called_to_ask_and_heard",
        Final("yes", audio_ms=1800),
        2.6,
        [Announce("May we?", answers=Utterance("yes"))],
        "asking_consent",
    ),
    # The announcement is heard whole.
    ("announcing", SpeechEnded(0.2, 900), 1, [FinaliseTranscript()], "asking_consent"),
    ("announcing", Final("no"), 1, [], "asking_consent"),
    ("announcing", KeyPressed("2"), 1, [], "asking_consent"),
    ("announcing", ReplyEnded(), 2, [ANNOUNCED, greeted()], "thinking"),
    ("announcing_over_speech", ReplyEnded(), 2, [ANNOUNCED], "user_speaking"),
    ("announcing_over_words", ReplyEnded(), 2, [ANNOUNCED], "endpointing"),
    # So is the question, but for a key and a no.
    ("asking", ReplyAudible(), 1, [], "asking_consent"),
    ("asking", Final("yes"), 1, [], "asking_consent"),
    ("asking", Final(""), 1, [], "asking_consent"),
    ("asking", Final("no"), 1, [CANCEL, REFUSED, greeted(Utterance("no"))], "thinking"),
    ("asking", KeyPressed("1"), 1, [CANCEL, GIVEN, greeted(Dtmf("1"))], "thinking"),
    ("asking", KeyPressed("2"), 1, [CANCEL, REFUSED, greeted(Dtmf("2"))], "thinking"),
    ("asking", KeyPressed("5"), 1, [], "asking_consent"),
    ("asking", ReplyEnded(), 2, [], "awaiting_consent"),
    ("asking_over_speech", ReplyEnded(), 2, [], "awaiting_consent"),
    ("asking_over_yes", ReplyEnded(), 2, [], "awaiting_consent"),
    # The answer.
    ("awaiting", AnswerDue(), 8, [REFUSED, greeted()], "thinking"),
    ("awaiting_for_the_model", AnswerDue(), 8, [REFUSED, Reply(CallStarted())], "thinking"),
    ("awaiting_after_yes_over_question", AnswerDue(), 8, [Announce("May we?", inputs=(Utterance("yes"),))], None),
    ("awaiting", KeyPressed("1"), 3, [GIVEN, greeted(Dtmf("1"))], "thinking"),
    ("awaiting", KeyPressed("7"), 3, [Announce("May we?", inputs=(Dtmf("7"),))], "asking_consent"),
    ("awaiting", SpeechBegan(), 3, [], "awaiting_consent"),
    ("awaiting", Final("yes", audio_ms=3000), 3, [], "awaiting_consent"),
    ("answering", Partial("ye"), 3.5, [], "awaiting_consent"),
    ("answering", SpeechEnded(0.2, 3800), 4, [], "awaiting_consent"),
    ("answering", EndOfTurn(), 4, [], "awaiting_consent"),
    ("answering_with_words", EndOfTurn(), 4, [GIVEN], "user_speaking"),
    ("answering_late", AnswerDue(), 18, [FinaliseTranscript()], "awaiting_consent"),
    ("asked_for_answer_late", SpeechBegan(), 18.1, [], "awaiting_consent"),
    ("asked_for_answer_late", Final("", audio_ms=18000), 18.2, [REFUSED], "user_speaking"),
    ("answer_ended", Partial("yes"), 4.1, [], "awaiting_consent"),
    ("answer_ended", EndOfTurnDue(), 4.5, [FinaliseTranscript()], "awaiting_consent"),
    ("answered_with_words", EndOfTurnDue(), 4.5, [GIVEN, greeted(Utterance("yes"))], "thinking"),
    ("asked_for_answer", SpeechEnded(0.2, 4400), 4.6, [], "awaiting_consent"),
    ("asked_for_answer", FinalOverdue(), 6, [GiveUpOnFinal()], "awaiting_consent"),
    ("asked_for_answer", RecogniserLost(), 5, [], "awaiting_consent"),
    ("asked_for_answer", RecogniserFound(), 5, [], "awaiting_consent"),
    ("asked_for_answer", Final("", audio_ms=3800), 4.6, [], "awaiting_consent"),
    ("asked_for_answer", Final("Yes.", audio_ms=3800), 4.6, [GIVEN, greeted(Utterance("Yes."))], "thinking"),
    ("asked_for_answer", Final("no thanks", audio_ms=3800), 4.6, [REFUSED, greeted(Utterance("no thanks"))], None),
    ("asked_for_answer", Final("what for", audio_ms=3800), 4.6, [Announce("May we?", answers=WHAT)], None),
    ("asked_again", KeyPressed("7"), 7, [REFUSED, greeted(Dtmf("7"))], "thinking"),
    ("asked_again", AnswerDue(), 12, [REFUSED, greeted()], "thinking"),
    # What else happens.
    ("awaiting", SayAsked(Saying("Listen.", 1), interrupt=True), 3, [], "awaiting_consent"),
    ("asking", SayAsked(Saying("Listen.", 1)), 1, [], "asking_consent"),
    ("to_say_after_consent", KeyPressed("1"), 4, [GIVEN, greeted(Dtmf("1"))], "thinking"),
    ("asking", TransferAsked("100"), 1, [], "asking_consent"),
    ("awaiting", TransferAsked("100"), 3, [], "awaiting_consent"),
    ("to_transfer_after_consent", KeyPressed("2"), 4, [REFUSED, BeginTransfer("100")], "transferring"),
    ("asking", HangUpAsked("Bye."), 1, [BY_PROGRAM, BYE], "closing"),
    ("awaiting", HangUpAsked("Bye."), 3, [BYE], "closing"),
    ("asking", DrainAsked(), 1, [BY_PROGRAM, BYE], "closing"),
    ("awaiting", DrainAsked(), 3, [BYE], "closing"),
    ("asking", MaxLengthDue(), 60, [BY_PROGRAM, BYE], "closing"),
    ("awaiting_long", MaxLengthDue(), 60, [BYE], "closing"),
    ("asking", WarningDue(), 3, [], "asking_consent"),
    ("awaiting", WarningDue(), 3, [], "awaiting_consent"),
    ("asking", RoleFailed("gone", "stt"), 1, [BY_PROGRAM, SORRY], "closing"),
    ("asking", RoleFailed("gone", "tts"), 1, [SORRY], "closing"),
    ("awaiting", RoleFailed("gone", "stt"), 3, [SORRY], "closing"),
]
"""Each as the fields of `Case`; the phase is that of the next actions where it is None."""
CASES = [(*case[:4], case[4] or ("asking_consent" if case[3][-1].text == "May we?" else "thinking")) for case in CASES]
