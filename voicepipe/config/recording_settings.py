"""Settings of recordings: the section `recording`."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import gt

from voicepipe.config.paths import is_path
from voicepipe.text.consent_texts import ANNOUNCEMENTS, QUESTIONS, text_of


@frozen
class RecordingSettings:
    """Whether calls are recorded, and what callers are told or asked before: in many places the law requires it."""

    directory: str = field(default="", validator=is_path)
    """The directory of recordings, relative to the YAML file's directory: a stereo WAV file for each call, the caller
    left and the agent right. Empty: calls are not recorded."""
    readable_by: Literal["owner", "group"] = "owner"
    """Who may read the recordings, and a directory that is made for them: the account that runs the calls (`owner`), or
    its group as well (`group`). A directory that exists already keeps its mode and its group."""
    consent: Literal["none", "announce", "ask"] = "none"
    """What the caller is told before anything is recorded. `announce`: the `announcement` is said first, and the
    recording begins when it was heard; `ask`: the `question` is asked first, and the recording begins after a yes."""
    announcement: str = ""
    """The text of `consent: announce`. Empty: a text in the language of `speech.language`, if voicepipe has one."""
    question: str = ""
    """The text of `consent: ask`, to which a yes means that the call is recorded. It should name both ways to answer:
    the words, and the keys 1 for yes and 2 for no. Empty: a text in the language of `speech.language`, if voicepipe has
    one."""
    answer_s: float = field(default=6.0, validator=gt(0))
    """How long the caller has to begin to answer the `question`, in s; then the answer is a no."""

    mute_keys: bool = False
    """Whether the recording is silent on both sides while the caller presses keys, from 2 s before a key until 2 s
    after it, so that neither their tones nor what is said meanwhile tells the number of a card."""

    def consent_text(self, language: str | None) -> str | None:
        """Returns what is said before the recording begins, in a language; None: a text has to be given for it."""
        if self.consent == "ask":
            return self.question or text_of(QUESTIONS, language)
        return self.announcement or text_of(ANNOUNCEMENTS, language)
