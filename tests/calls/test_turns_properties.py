"""Turn-taking under any sequence of events that a call can produce: what always holds."""

import runpy
from math import inf
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voicepipe.calls.turns import actions
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.requests import Dtmf, Told, ToolResults, Utterance
from voicepipe.config.call_settings import (
    BargeInSettings,
    DtmfSettings,
    KeyAction,
    LimitsSettings,
    OnFailure,
    TransferTo,
    TurnsSettings,
)
from voicepipe.text.words import phrase_of

DIAGRAM = runpy.run_path(str(Path(__file__).parents[2] / "docs/hooks/diagram.py"))
DRAWN, EVERYWHERE, THE_END = DIAGRAM["transitions"](), DIAGRAM["EVERYWHERE"], DIAGRAM["THE_END"]

SETTINGS = st.builds(
    TurnsSettings,
    end_of_turn_ms=st.sampled_from([100, 600]),
    preemptive=st.booleans(),
    hang_up_phrases=st.sampled_from([(), ("word4", "word5 word6")]),
    dtmf=st.builds(DtmfSettings, gap_ms=st.sampled_from([0, 1500])),
    barge_in=st.builds(
        BargeInSettings,
        enabled=st.sampled_from([True, True, False]),
        min_words=st.sampled_from([0, 0, 2]),
        protect_ms=st.sampled_from([0, 0, 500]),
        resume_ms=st.sampled_from([0, 1200, 1200]),
        backchannels=st.just(("uh-huh",)),
    ),
)
ANNOUNCES, ASKS = turns.ConsentRequest("May we?", asks=False), turns.ConsentRequest("May we?", asks=True)
CONSENTING = frozenset({"asking_consent", "awaiting_consent"})
KEYS = {"8": KeyAction(transfer="100"), "9": KeyAction(say="We are open.")}


class Conversation(RuleBasedStateMachine):
    """A caller, a recogniser, tools and replies, as far as turn-taking can tell."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.taking = None
        self.reply = None  # the action that asked for the reply that is on
        self.audible = self.paused = False
        self.prepared = None  # what a reply that nobody hears yet was begun to
        self.gives_partials = True
        self.guessed = False  # that the turn is over
        self.tools = 0  # batches that run
        self.results = {}  # of tools, which the model has not been told
        self.warnings = 0
        self.greetings = 0
        self.consent, self.consents, self.questions = None, [], 0
        self.wanted = []  # texts of the program that have not begun, by number
        self.begun = 0  # of those
        self.fact_is_owed = False  # a reply to it
        self.asked_again = None  # what an unheard reply was to, that the program has interrupted
        self.transfer = None  # the target of the one that runs
        self.speaking = self.sustained = False
        self.sent = 0  # utterances so far
        self.unfinalised = []  # words that the recogniser has not made final
        self.outstanding = []  # final words that nobody has replied to
        self.finals, self.keys = [], ""  # everything that was said for good, and pressed
        self.taken = []  # what replies and announcements have brought into the conversation, and are not retracted
        self.lately = ()  # of these the last one
        self.finalise = 0  # finals that were asked for
        self.endings = []
        self.given_up = False  # on the recogniser's last word
        self.lost = False  # and no other recogniser is there yet

    @property
    def on(self):
        return self.taking is not None and not self.endings

    def happens(self, event):
        before = self.taking.phase
        self.obey(self.taking.feed(event, self.now))
        self.is_drawn(before, type(event))
        while self.on and self.taking.deadline <= self.now:
            self.tick()

    def tick(self):
        before = self.taking.phase
        due = [timer for timer, at in self.taking.state.timers.items() if at <= self.now]
        self.obey(self.taking.fire_timers(self.now))
        assert self.taking.deadline > self.now
        if len(due) == 1:
            self.is_drawn(before, *due)

    def is_drawn(self, before, event):
        """The diagram in the documentation has the way that an event led."""
        after, name = self.taking.phase, event.__name__
        assert after in {before, *THE_END} or name in EVERYWHERE or name in DRAWN[before, after]

    def obey(self, asked):  # noqa: C901 - a case for each action
        for action in asked:
            assert not self.endings, "an action after the end"
            match action:
                case actions.PauseReply() | actions.ResumeReply() | actions.CancelReply():
                    self.change(action)
                case actions.FinaliseTranscript():
                    self.finalise += 1
                case actions.GiveUpOnFinal():
                    self.given_up = True
                case actions.BeginTransfer(target):
                    assert self.reply is None, "a transfer over a reply"
                    assert self.prepared is None
                    assert self.transfer is None, "two transfers at once"
                    self.transfer = target
                case actions.TellModel():
                    assert self.tools, "nobody will reply to it"
                    self.outstanding = []  # what was said meanwhile is read with the tools' results
                case actions.CancelTransfer():
                    assert self.transfer is not None
                    self.transfer = None
                case actions.SettleConsent(consent):
                    assert consent in ({"given", "refused"} if self.consent.asks else {"announced"})
                    self.consents.append(consent)
                    if not self.taking.state.unanswered.finals:
                        self.outstanding = []  # they were the answer
                    assert len(self.consents) == 1
                case actions.End():
                    self.endings.append(action)
                case _:
                    self.start(action)

    def start(self, action):
        assert self.reply is None, "two replies at once"
        assert self.transfer is None, "a reply over a transfer"
        match action:
            case actions.Reply() | actions.Announce():
                assert self.prepared is None, "a reply that was begun is forgotten"
                self.begin(action)
            case actions.Prepare(said):
                assert self.prepared is None, "two replies begun"
                self.prepared = said
            case actions.Adopt(said):
                assert phrase_of(said.text) == phrase_of(self.prepared.text), "a reply to something else"
                self.prepared = None
                self.begin(action)
            case actions.Discard():
                assert self.prepared is not None
                self.prepared = None

    def change(self, action):
        assert self.reply is not None, "no reply to change"
        match action:
            case actions.PauseReply():
                assert self.audible
                assert not self.paused
                self.paused = True
            case actions.ResumeReply():
                assert self.paused
                self.paused = False
            case actions.CancelReply(retracted, by_program):
                if by_program and not self.audible:
                    self.ask_again(getattr(self.reply, "trigger", None))
                if retracted:
                    assert not self.audible, "the caller has heard it"
                    del self.taken[len(self.taken) - len(self.lately) :]
                    self.outstanding = self.reply.trigger.text.split() + self.outstanding
                self.reply, self.audible, self.paused = None, False, False

    def ask_again(self, trigger):
        """The program has interrupted a reply before it was heard."""
        if isinstance(trigger, ToolResults):
            self.results = dict(trigger.results) | self.results
        elif trigger is not None:
            self.asked_again = trigger

    def take(self, inputs):
        """Whatever the caller said or pressed comes into the conversation once, in order."""
        self.lately = inputs
        self.taken += inputs
        words = [word for part in self.taken if isinstance(part, Utterance) for word in part.text.split()]
        keys = "".join(part.digits for part in self.taken if isinstance(part, Dtmf))
        assert words == self.finals[: len(words)], "words were lost, doubled or out of order"
        assert keys == self.keys[: len(keys)], "keys were lost, doubled or out of order"
        return len(words) == len(self.finals)

    def announce(self, announcement):
        """Each text is said once."""
        asks = self.consent is not None and getattr(announcement, "text", "") == "May we?"
        settled = self.consent is None or self.consents or self.taking.phase == "closing"
        assert asks or settled, "a reply before the consent to the recording"
        match announcement:
            case actions.Announce("May we?"):
                self.questions += 1
                assert self.questions <= (2 if self.consent.asks else 1)
            case actions.Announce("Hi."):
                self.greetings += 1
                assert self.greetings == 1
            case actions.Announce("Soon."):
                self.warnings += 1
                assert self.warnings == 1
            case actions.Announce(saying=number) if number:
                self.wanted.remove(number)

    def begin(self, reply):
        self.reply, self.audible = reply, False
        self.announce(reply)
        everything = self.take(reply.inputs)
        again, self.asked_again = self.asked_again, self.asked_again if isinstance(reply, actions.Announce) else None
        if isinstance(reply, actions.Reply | actions.Adopt):
            self.fact_is_owed = False  # the model reads it with this request
        if isinstance(reply, actions.Reply) and reply.trigger == again:
            return
        if isinstance(getattr(reply, "trigger", None) or getattr(reply, "answers", None), Utterance | Dtmf):
            assert everything, "words that the reply does not know of"
        match reply:
            case (
                actions.Reply(Utterance(text))
                | actions.Adopt(Utterance(text))
                | actions.Announce(answers=Utterance(text))
            ):
                assert text.split() == self.outstanding, "words were lost, doubled or out of order"
                self.outstanding = []
            case actions.Reply(Dtmf()) | actions.Announce(answers=Dtmf()):
                self.outstanding = []  # a key stands for what was being said
            case actions.Reply(Told()) if reply.inputs:
                self.outstanding = []  # what was said during a transfer
            case actions.Reply(ToolResults(results)):
                assert results == self.results, "results were lost, or told twice"
        if isinstance(reply, actions.Reply):
            self.results = {}  # they are in the conversation

    @precondition(lambda self: self.taking is None)
    @rule(
        chosen=SETTINGS,
        greeting=st.sampled_from([None, "Hi."]),
        say=st.sampled_from(["", "Sorry."]),
        warning_s=st.sampled_from([0, 100]),
        partials=st.booleans(),
        caller_first_s=st.sampled_from([None, None, 3.0]),
        then=st.sampled_from(["dialplan", TransferTo("200")]),
        consent=st.sampled_from([None, ANNOUNCES, ASKS, ASKS]),
    )
    def answered(self, chosen, greeting, say, warning_s, partials, caller_first_s, then, consent):
        limits = LimitsSettings(max_call_minutes=2, warning_s=warning_s, warning="Soon.")
        self.taking = TurnTaking(chosen, limits, OnFailure(say=say, then=then), keys=KEYS.items())
        self.gives_partials = partials
        self.consent = consent
        self.happens(turns.Answered(greeting, caller_first_s, consent))

    @precondition(lambda self: self.on and not self.speaking)
    @rule()
    def speech_begins(self):
        self.speaking, self.sustained = True, False
        self.happens(turns.SpeechBegan())

    @precondition(lambda self: self.on and self.speaking and not self.sustained)
    @rule()
    def speech_lasts(self):
        self.sustained = True
        self.happens(turns.SpeechSustained())

    @precondition(lambda self: self.on and self.speaking)
    @rule(listens=st.sampled_from([False, False, True]))
    def a_word_is_said(self, listens):
        self.sent += 1
        self.unfinalised.append(self.next_word(listens))
        if self.gives_partials and not self.lost:
            self.happens(turns.Partial(" ".join(self.unfinalised)))

    def next_word(self, listens):
        if self.taking.phase == "awaiting_consent" and self.sent % 3:
            return ("yes", "no")[self.sent % 2]
        return "uh-huh" if listens else f"word{self.sent}"

    @precondition(lambda self: self.on and self.speaking)
    @rule()
    def speech_ends(self):
        self.speaking = False
        self.now += 0.2
        self.happens(turns.SpeechEnded(0.2, (self.now - 0.2) * 1000))

    def give_final(self, *, positioned):
        text, self.unfinalised = " ".join(self.unfinalised), []
        only_listens = text == "uh-huh" and self.taking.phase in {"speaking", "interrupted"}
        if self.taking.phase != "closing" and (self.outstanding or not only_listens):
            self.outstanding += text.split()
        if self.taking.phase == "asking_consent" and self.consent.asks and text:
            self.outstanding = []  # the question is not stopped for them, and the model reads them
        self.finals += text.split()
        self.happens(turns.Final(text, audio_ms=self.now * 1000 if positioned else None))

    @precondition(lambda self: self.on and self.finalise and not self.lost)
    @rule(positioned=st.booleans())
    def the_final_comes(self, positioned):
        self.finalise -= 1
        self.give_final(positioned=positioned)

    @precondition(lambda self: self.on and self.unfinalised and not self.lost)
    @rule(positioned=st.booleans())
    def the_recogniser_finalises_by_itself(self, positioned):
        self.give_final(positioned=positioned)

    @precondition(lambda self: self.on)
    @rule()
    def the_recogniser_ends_the_turn(self):
        self.happens(turns.EndOfTurn())

    @precondition(lambda self: self.on)
    @rule()
    def the_recogniser_guesses_that_the_turn_is_over(self):
        self.guessed = True
        self.happens(turns.EagerEndOfTurn())

    @precondition(lambda self: self.on)
    @rule()
    def the_recogniser_takes_its_guess_back(self):
        self.happens(turns.TurnResumed())
        assert self.prepared is None or self.taking.phase not in {"user_speaking", "endpointing"}

    @precondition(lambda self: self.on and not self.lost)
    @rule()
    def the_recogniser_is_lost(self):
        self.given_up, self.lost = False, True
        self.happens(turns.RecogniserLost())

    @precondition(lambda self: self.on and self.lost)
    @rule()
    def another_one_is_found(self):
        self.lost = False
        self.finalise = min(self.finalise, 1)
        self.happens(turns.RecogniserFound())

    @precondition(lambda self: self.on)
    @rule(digit=st.sampled_from("1112#89"))
    def a_key_is_pressed(self, digit):
        unanswered = self.taking.state.unanswered
        if digit != "#" or not unanswered.digits or self.taking.phase == "closing":  # it ends a number
            self.keys += digit
        if self.taking.phase in CONSENTING:
            self.outstanding = []
        self.happens(turns.KeyPressed(digit))

    @precondition(lambda self: self.on and self.reply is not None and self.taking.phase != "closing")
    @rule()
    def tools_begin(self):
        self.tools += 1
        self.happens(turns.ToolsBegan())

    @precondition(lambda self: self.on and self.tools)
    @rule(replied_to=st.booleans())
    def tools_end(self, replied_to):
        self.tools -= 1
        results = {str(self.now): "done"} if replied_to else {}
        self.results |= results
        self.happens(turns.ToolsEnded(results))

    @precondition(lambda self: self.on and self.tools)
    @rule()
    def a_tool_is_slow(self):
        self.happens(turns.ToolSlow("One moment."))

    @precondition(lambda self: self.on and self.reply is not None and not self.audible)
    @rule()
    def the_reply_is_audible(self):
        self.audible = True
        self.happens(turns.ReplyAudible())

    @precondition(lambda self: self.on and self.reply is not None and not self.paused)
    @rule(hang_up=st.sampled_from([False, False, False, True]))
    def the_reply_ends(self, hang_up):
        self.reply, self.audible = None, False
        self.happens(turns.ReplyEnded(turns.Ending("agent_hung_up") if hang_up else None))

    @precondition(lambda self: self.on and self.sent > 2)
    @rule(role=st.sampled_from(["stt", "llm", "tts"]))
    def something_fails(self, role):
        if role != "stt" and self.reply is None:
            return
        before, closing = self.reply, self.taking.phase == "closing"
        if role != "stt":
            self.reply, self.audible, self.paused = None, False, False
        self.happens(turns.RoleFailed("gone", role))
        assert self.endings or self.taking.phase in {"closing", "transferring"}
        assert not (closing and role == "stt") or self.reply is before

    @precondition(lambda self: self.on and self.sent > 2)
    @rule()
    def a_drain_is_asked_for(self):
        self.happens(turns.DrainAsked())

    @precondition(lambda self: self.on)
    @rule(interrupt=st.booleans())
    def the_program_says_something(self, interrupt):
        self.begun += 1
        self.wanted.append(self.begun)
        before = self.taking.phase
        self.happens(turns.SayAsked(turns.Saying("Listen.", self.begun), interrupt))
        if interrupt and before not in {"transferring", "closing", "endpointing", *CONSENTING}:
            assert self.begun not in self.wanted, "it does not interrupt"

    @precondition(lambda self: self.on and self.wanted)
    @rule()
    def the_program_withdraws_it(self):
        number = self.wanted.pop()
        self.happens(turns.SayWithdrawn(number))

    @precondition(lambda self: self.on)
    @rule(respond=st.booleans())
    def the_program_tells_a_fact(self, respond):
        self.fact_is_owed |= respond
        self.happens(turns.FactTold(Told("a fact") if respond else None))

    @precondition(lambda self: self.on and self.sent > 1)
    @rule(goodbye=st.sampled_from(["", "Bye."]))
    def the_program_hangs_up(self, goodbye):
        self.happens(turns.HangUpAsked(goodbye))
        assert self.endings or self.taking.phase == "closing"

    @precondition(lambda self: self.on)
    @rule(by_tool=st.booleans())
    def the_program_transfers(self, by_tool):
        before = self.taking.phase
        self.happens(turns.TransferAsked("300", by_tool=by_tool and self.tools > 0))
        assert self.transfer or before in {"closing", "thinking", "speaking", "interrupted", *CONSENTING}

    @precondition(lambda self: self.on and self.transfer)
    @rule()
    def somebody_takes_the_transfer(self):
        target, self.transfer = self.transfer, None
        self.happens(turns.TransferDone(turns.Ending("transferred", target)))
        assert self.endings[0].ending.detail == target

    @precondition(lambda self: self.on and self.transfer)
    @rule()
    def nobody_takes_the_transfer(self):
        target, self.transfer = self.transfer, None
        self.happens(turns.TransferUnanswered(Told("nobody took it", target)))
        answered = {"thinking", "closing", "transferring"}
        assert self.endings or self.taking.phase in answered or self.tools, "nobody tells the caller"

    @precondition(lambda self: self.on)
    @rule(seconds=st.sampled_from([0.02, 0.4, 1.5]))
    def time_passes(self, seconds):
        end = self.now + seconds
        while self.on and self.taking.deadline <= end:
            self.now = max(self.now, self.taking.deadline)
            self.tick()
        self.now = end

    @precondition(lambda self: self.on and self.taking.deadline < inf)
    @rule()
    def the_next_timer_runs_out(self):
        self.time_passes(max(0.0, self.taking.deadline - self.now))

    @precondition(lambda self: self.endings)
    @rule(event=st.sampled_from([turns.SpeechBegan(), turns.KeyPressed("1"), turns.ReplyEnded(), turns.Final("late")]))
    def nothing_follows_the_end(self, event):
        self.finals += event.text.split() if isinstance(event, turns.Final) else []
        self.keys += event.digit if isinstance(event, turns.KeyPressed) else ""
        assert self.taking.feed(event, self.now) == []
        assert self.taking.fire_timers(self.now + 1000) == []

    @invariant()
    def somebody_always_acts_next(self):  # noqa: C901 - a case for each phase
        """No phase waits for something that will not come."""
        if not self.on:
            assert self.taking is None or self.taking.deadline == inf
            return
        assert (self.transfer is not None) == (self.taking.phase == "transferring")
        timers = set(self.taking.state.timers)
        match self.taking.phase:
            case "listening":
                assert timers & {turns.IdleDue, turns.DigitsDue, turns.FirstWordsDue} or self.tools
                assert not self.speaking
                assert self.reply is None
                if turns.DigitsDue not in timers:
                    assert not self.outstanding, "words that nobody will answer"
                    assert not self.results, "results that nobody will hear of"
                    assert not self.fact_is_owed, "a fact that nobody will reply to"
                    assert not self.wanted, "a text that nobody will say"
                    assert not self.taking.state.transfer_to, "a transfer that will not begin"
            case "user_speaking":
                assert timers & {turns.IdleDue, turns.DigitsDue}, "a noise would have the floor for ever"
                assert self.speaking
                assert self.reply is None
            case "endpointing":
                assert timers & {turns.EndOfTurnDue, turns.FinalOverdue} or self.given_up or self.lost
                assert self.reply is None
            case "thinking" | "speaking":
                assert self.reply is not None
                assert (self.taking.phase == "speaking") == self.audible
                assert not self.paused
            case "interrupted":
                assert self.paused
                assert turns.ResumeDue in timers
            case "asking_consent":
                assert self.reply.text == "May we?"
                assert not self.paused
            case "awaiting_consent":
                assert timers & {turns.AnswerDue, turns.EndOfTurnDue, turns.FinalOverdue} or self.given_up or self.lost
                assert self.reply is None
            case "transferring":
                assert self.reply is None
                assert timers <= {turns.MaxLengthDue, turns.WarningDue, turns.FirstWordsDue}
            case "closing":
                assert self.reply is not None
                assert timers == {turns.LastWordsOverdue}
        begun_in = {"endpointing", "user_speaking"} if self.guessed else {"endpointing"}
        assert self.prepared is None or self.taking.phase in begun_in
        dialling = bool(self.taking.state.unanswered.digits)
        assert dialling == (turns.DigitsDue in timers) or self.taking.phase == "closing"
        assert (self.taking.state.digits_awaiting_final is None) or self.taking.phase == "endpointing"

    def teardown(self):
        """Left alone, any call ends."""
        for _ in range(60):
            if not self.on:
                break
            if self.given_up:  # and no other is left
                self.given_up = False
                self.happens(turns.RoleFailed("gone", "stt"))
            elif self.transfer:
                self.nobody_takes_the_transfer()
            elif self.lost:
                self.another_one_is_found()
            elif self.speaking:
                self.speech_ends()
            elif self.reply is not None and not self.paused and self.taking.phase != "closing":
                self.the_reply_ends(hang_up=False)
            else:
                self.the_next_timer_runs_out()
        assert not self.on
        if self.taking is not None:
            assert self.take(self.taking.take_unanswered()), "words that are in no record"
            assert sum(len(part.digits) for part in self.taken if isinstance(part, Dtmf)) == len(self.keys)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
