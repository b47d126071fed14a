"""What the program asks of a conversation, and transfers, as rows of the table of turn-taking, for its test."""

from turn_situations import BY_PROGRAM, BYE, DIALS, HELLO, HELLO_REPLY, LISTENING, PATHS, RETRACT, SORRY

from voicepipe.calls.turns.actions import (
    Announce,
    BeginTransfer,
    CancelTransfer,
    End,
    FinaliseTranscript,
    Reply,
    TellModel,
)
from voicepipe.calls.turns.events import (
    Answered,
    DrainAsked,
    Ending,
    FactTold,
    FirstWordsDue,
    HangUpAsked,
    KeyPressed,
    MaxLengthDue,
    ReplyEnded,
    RoleFailed,
    SayAsked,
    Saying,
    SpeechBegan,
    SpeechEnded,
    ToolsBegan,
    ToolsEnded,
    TransferAsked,
    TransferDone,
    TransferUnanswered,
    WarningDue,
)
from voicepipe.components.requests import CallStarted, Told, ToolResults

NEWS = Told("It rains.")
BACK = Told("Nobody took it.", "100")
SAY, CUT_IN = SayAsked(Saying("Listen.", 1)), SayAsked(Saying("Listen.", 1), interrupt=True)
LISTEN = Announce("Listen.", saying=1)
TRANSFERRING = (*LISTENING, (2, TransferAsked("100")))
FOR_TOOL = (*LISTENING, (2, ToolsBegan()), (2.1, TransferAsked("100", by_tool=True)))
BUSY = Reply(ToolResults({"1": "busy"}), HELLO_REPLY.inputs)
GONE, TAKEN = Ending("agent_hung_up"), Ending("transferred", "100")

PATHS |= {
    "called": ((0, Answered("Hi.", 4)),),
    "called_for_the_model": ((0, Answered(None, 4)),),
    "called_and_heard": ((0, Answered("Hi.", 4)), (1, SpeechBegan())),
    "transferring": TRANSFERRING,
    "transferring_after_words": (*TRANSFERRING, (3, HELLO)),
    "transferring_for_tool": FOR_TOOL,
    "transferring_for_tool_over_speech": (*FOR_TOOL, (3, SpeechBegan())),
    "transferring_for_tool_after_words": (*FOR_TOOL, (3, HELLO)),
    "tool_is_back_after_words": (*FOR_TOOL, (3, HELLO), (4, TransferUnanswered(BACK))),
    "transferring_for_tool_that_ended": (*FOR_TOOL, (3, ToolsEnded({}))),
    "transferring_by_key_beside_tool": (*LISTENING, (2, ToolsBegan()), (2.1, TransferAsked("100"))),
    "transferring_and_draining": (*TRANSFERRING, (3, DrainAsked())),
    "transferring_too_long": (*TRANSFERRING, (3, MaxLengthDue())),
    "transferring_unheard": (*TRANSFERRING, (3, RoleFailed("gone", "stt"))),
    "about_to_transfer": (*PATHS["speaking"], (4.2, TransferAsked("100"))),
    "thinking_of_news": (*LISTENING, (2, FactTold(NEWS))),
    "giving_transfer_up": (*TRANSFERRING, (2.5, HangUpAsked("Bye."))),
    "giving_transfer_up_heard": (*TRANSFERRING, (2.5, HangUpAsked("Bye.")), (3, ReplyEnded())),
    "hanging_up": (*LISTENING, (2, HangUpAsked("Bye."))),
}

CASES = [
    # The caller is to speak first.
    ("answered", Answered("Hi.", 4), 0, [], "listening"),
    ("called", FirstWordsDue(), 4, [Announce("Hi.")], "thinking"),
    ("called_for_the_model", FirstWordsDue(), 4, [Reply(CallStarted())], "thinking"),
    # Texts to say.
    ("listening", SAY, 2, [LISTEN], "thinking"),
    ("dialling", SAY, 3, [], "listening", DIALS),
    ("dialling", CUT_IN, 3, [LISTEN], "thinking", DIALS),
    ("user_speaking", SAY, 3, [], "user_speaking"),
    ("user_speaking", CUT_IN, 3, [LISTEN], "thinking"),
    ("endpointing", SAY, 3.3, [], "endpointing"),
    ("endpointing", CUT_IN, 3.3, [LISTEN], "thinking"),
    ("key_after_half_a_sentence", CUT_IN, 3.1, [], "endpointing"),
    ("thinking", SAY, 3.8, [], "thinking"),
    ("thinking", CUT_IN, 3.8, [RETRACT, LISTEN], "thinking"),
    ("thinking_of_key", CUT_IN, 2.1, [BY_PROGRAM, LISTEN], "thinking"),
    ("speaking", SAY, 4.5, [], "speaking"),
    ("speaking", CUT_IN, 4.5, [BY_PROGRAM, LISTEN], "thinking"),
    ("interrupted", SAY, 4.7, [], "interrupted"),
    ("interrupted", CUT_IN, 4.7, [BY_PROGRAM, LISTEN], "thinking"),
    ("transferring", CUT_IN, 3, [], "transferring"),
    # Facts.
    ("listening", FactTold(None), 2, [], "listening"),
    ("listening", FactTold(NEWS), 2, [Reply(NEWS)], "thinking"),
    ("dialling", FactTold(NEWS), 3, [], "listening", DIALS),
    ("user_speaking", FactTold(NEWS), 3, [], "user_speaking"),
    ("endpointing_covered", FactTold(NEWS), 3.4, [], "endpointing"),
    # The end.
    *(
        (phase, HangUpAsked("Bye."), now, [*cancelled, BYE], "closing")
        for phase, now, cancelled in (
            ("listening", 2, []),
            ("user_speaking", 3, []),
            ("endpointing", 3.3, []),
            ("thinking", 3.8, [BY_PROGRAM]),
            ("speaking", 4.5, [BY_PROGRAM]),
            ("interrupted", 4.7, [BY_PROGRAM]),
            ("transferring", 3, [CancelTransfer()]),
        )
    ),
    ("hanging_up", ReplyEnded(), 3, [End(GONE)], "closing"),
    # Transfers.
    *(
        (phase, TransferAsked("100"), now, [BeginTransfer("100")], "transferring")
        for phase, now in (("listening", 2), ("user_speaking", 3), ("endpointing", 3.3))
    ),
    *(
        (phase, TransferAsked("100"), now, [], phase)
        for phase, now in (("thinking", 3.8), ("speaking", 4.5), ("interrupted", 4.7))
    ),
    ("about_to_transfer", ReplyEnded(), 5, [BeginTransfer("100")], "transferring"),
    ("about_to_transfer", ReplyEnded(GONE), 5, [BeginTransfer("100")], "transferring"),
    ("speaking", ReplyEnded(Ending("transfer_requested", "100")), 5, [BeginTransfer("100")], "transferring"),
    ("transferring", TransferDone(TAKEN), 3, [End(TAKEN)], "closing"),
    ("giving_transfer_up", TransferDone(TAKEN), 3, [End(TAKEN)], "closing"),
    ("giving_transfer_up_heard", TransferDone(TAKEN), 4, [], "closing"),
    ("transferring", TransferUnanswered(BACK), 4, [Reply(BACK)], "thinking"),
    ("transferring_after_words", TransferUnanswered(BACK), 4, [Reply(BACK, HELLO_REPLY.inputs)], "thinking"),
    ("transferring_for_tool", TransferUnanswered(BACK), 4, [TellModel(BACK)], "listening"),
    ("transferring_for_tool_over_speech", TransferUnanswered(BACK), 4, [TellModel(BACK)], "user_speaking"),
    ("transferring_for_tool_after_words", TransferUnanswered(BACK), 4, [TellModel(BACK)], "listening"),
    ("tool_is_back_after_words", ToolsEnded({"1": "busy"}), 4.1, [BUSY], "thinking"),
    ("transferring_for_tool_that_ended", TransferUnanswered(BACK), 4, [Reply(BACK)], "thinking"),
    ("transferring_by_key_beside_tool", TransferUnanswered(BACK), 4, [Reply(BACK)], "thinking"),
    ("transferring", SpeechEnded(0.2, 2500), 3, [FinaliseTranscript()], "transferring"),
    ("transferring", HELLO, 3, [], "transferring"),
    ("transferring", KeyPressed("5"), 3, [], "transferring"),
    ("transferring", WarningDue(), 3, [], "transferring"),
    ("transferring", DrainAsked(), 3, [], "transferring"),
    ("transferring_and_draining", TransferUnanswered(BACK), 4, [BYE], "closing"),
    ("transferring", MaxLengthDue(), 3, [], "transferring"),
    ("transferring_too_long", TransferUnanswered(BACK), 4, [BYE], "closing"),
    ("transferring", RoleFailed("gone", "stt"), 3, [], "transferring"),
    ("transferring_unheard", TransferUnanswered(BACK), 4, [SORRY], "closing"),
]
"""Each as the fields of `Case`."""
