"""Turn-taking under any sequence of events that a call can produce: what always holds."""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voicepipe.calls import turn_events as turns
from voicepipe.calls.turns import TurnTaking
from voicepipe.config.settings import BargeInSettings, LimitsSettings, OnFailure, TurnsSettings
from voicepipe.requests import Dtmf, Utterance

SETTINGS = st.builds(
    TurnsSettings,
    end_of_turn_ms=st.sampled_from([100, 600]),
    barge_in=st.builds(BargeInSettings, enabled=st.booleans(), min_words=st.sampled_from([0, 2])),
)


class Conversation(RuleBasedStateMachine):
    """A caller, a recogniser and replies, as far as turn-taking can tell."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.taking = None
        self.reply = None  # the action that asked for the reply that is on
        self.audible = False
        self.speaking = self.sustained = False
        self.sent = 0  # utterances so far
        self.unfinalised = []  # words that the recogniser has not made final
        self.outstanding = []  # final words that nobody has replied to
        self.finalise = 0  # finals that were asked for
        self.endings = []
        self.given_up = False  # on the recogniser's last word
        self.lost = False  # and no other recogniser is there yet

    @property
    def on(self):
        return self.taking is not None and not self.endings

    def happens(self, event):
        self.obey(self.taking.handle(event, self.now))
        while self.on and self.taking.deadline <= self.now:
            self.tick()

    def tick(self):
        self.obey(self.taking.tick(self.now))
        assert self.taking.deadline > self.now

    def obey(self, actions):
        for action in actions:
            assert not self.endings, "an action after the end"
            match action:
                case turns.Reply() | turns.Announce():
                    assert self.reply is None, "two replies at once"
                    self.reply, self.audible = action, False
                    self.answer(action)
                case turns.CancelReply(retracted):
                    assert self.reply is not None, "no reply to cancel"
                    if retracted:
                        assert not self.audible, "the caller has heard it"
                        self.outstanding = self.reply.trigger.text.split() + self.outstanding
                    self.reply = None
                case turns.FinaliseTranscript():
                    self.finalise += 1
                case turns.GiveUpOnFinal():
                    self.given_up = True
                case turns.End():
                    self.endings.append(action)

    def answer(self, reply):
        match reply:
            case turns.Reply(Utterance(text)):
                assert text.split() == self.outstanding, "words were lost, doubled or out of order"
                self.outstanding = []
            case turns.Reply(Dtmf()):
                self.outstanding = []  # a key stands for what was being said

    @precondition(lambda self: self.taking is None)
    @rule(chosen=SETTINGS, greeting=st.sampled_from([None, "Hi."]), say=st.sampled_from(["", "Sorry."]))
    def answered(self, chosen, greeting, say):
        self.taking = TurnTaking(chosen, LimitsSettings(max_call_minutes=2), OnFailure(say=say))
        self.happens(turns.Answered(greeting))

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
    @rule()
    def a_word_is_said(self):
        self.sent += 1
        self.unfinalised.append(f"word{self.sent}")
        self.happens(turns.Partial(" ".join(self.unfinalised)))

    @precondition(lambda self: self.on and self.speaking)
    @rule()
    def speech_ends(self):
        self.speaking = False
        self.now += 0.2
        self.happens(turns.SpeechEnded(0.2, (self.now - 0.2) * 1000))

    def give_final(self, *, positioned):
        text, self.unfinalised = " ".join(self.unfinalised), []
        if text and self.taking.state != "closing":
            self.outstanding += text.split()
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
    @rule()
    def a_key_is_pressed(self):
        self.happens(turns.KeyPressed("1"))

    @precondition(lambda self: self.on and self.reply is not None and not self.audible)
    @rule()
    def the_reply_is_audible(self):
        self.audible = True
        self.happens(turns.ReplyAudible())

    @precondition(lambda self: self.on and self.reply is not None)
    @rule(hang_up=st.sampled_from([False, False, False, True]))
    def the_reply_ends(self, hang_up):
        self.reply = None
        self.happens(turns.ReplyEnded(turns.Ending("agent_hung_up") if hang_up else None))

    @precondition(lambda self: self.on and self.sent > 2)
    @rule(role=st.sampled_from(["stt", "llm", "tts"]))
    def something_fails(self, role):
        if role != "stt" and self.reply is None:
            return
        before, closing = self.reply, self.taking.state == "closing"
        if role != "stt":
            self.reply = None
        self.happens(turns.Failed("gone", role))
        assert self.endings or self.taking.state == "closing"
        assert not (closing and role == "stt") or self.reply is before

    @precondition(lambda self: self.on and self.sent > 2)
    @rule()
    def a_drain_is_asked_for(self):
        self.happens(turns.DrainAsked())

    @precondition(lambda self: self.on)
    @rule(seconds=st.sampled_from([0.02, 0.4, 1.5]))
    def time_passes(self, seconds):
        end = self.now + seconds
        while self.on and self.taking.deadline <= end:
            self.now = max(self.now, self.taking.deadline)
            self.tick()
        self.now = end

    @precondition(lambda self: self.on)
    @rule()
    def the_next_timer_runs_out(self):
        self.time_passes(max(0.0, self.taking.deadline - self.now))

    @precondition(lambda self: self.endings)
    @rule(event=st.sampled_from([turns.SpeechBegan(), turns.KeyPressed("1"), turns.ReplyEnded(), turns.Final("late")]))
    def nothing_follows_the_end(self, event):
        assert self.taking.handle(event, self.now) == []
        assert self.taking.tick(self.now + 1000) == []

    @invariant()
    def somebody_always_acts_next(self):
        """No state waits for something that will not come."""
        if not self.on:
            assert self.taking is None or self.taking.deadline == inf
            return
        timers = set(self.taking._timers)
        match self.taking.state:
            case "listening":
                assert turns.IdleDue in timers
                assert not self.speaking
                assert self.reply is None
                assert not self.outstanding, "words that nobody will answer"
            case "user_speaking":
                assert self.speaking
                assert self.reply is None
            case "endpointing":
                assert timers & {turns.EndOfTurnDue, turns.FinalOverdue} or self.given_up or self.lost
                assert self.reply is None
            case "thinking" | "speaking":
                assert self.reply is not None
                assert (self.taking.state == "speaking") == self.audible
            case "closing":
                assert self.reply is not None
                assert timers == {turns.LastWordsOverdue}

    def teardown(self):
        """Left alone, any call ends."""
        for _ in range(60):
            if not self.on:
                break
            if self.given_up:  # and no other is left
                self.given_up = False
                self.happens(turns.Failed("gone", "stt"))
            elif self.lost:
                self.another_one_is_found()
            elif self.speaking:
                self.speech_ends()
            elif self.reply is not None and self.taking.state != "closing":
                self.the_reply_ends(hang_up=False)
            else:
                self.the_next_timer_runs_out()
        assert not self.on


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
