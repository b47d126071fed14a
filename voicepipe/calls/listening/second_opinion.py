"""A second opinion: finds out whether a recogniser that returned no words for speech was right.

A recogniser can fail without an error: it answers each utterance with an empty transcript. A caller whose words vanish
hears nothing, and no breaker opens. But an empty transcript is also the right answer to a cough, to music, or to the
talk of others. Another recogniser can tell the two apart, if the pipeline's failover list has one.

Policy
------

1. A final transcript without words, for at least `on_failure.second_opinion_ms` of voice (by voice activity detection),
   is *doubted*: it is not reported. The next recogniser of the list gets the same audio, and everything after it.
2. If that one's next final transcript has words, the doubted recogniser has failed: the failure is reported, its
   breaker counts it, and the call stays with the recogniser that heard the words.
3. If it has none either, the two agree. The empty transcript is reported, nobody is blamed, and further empty ones are
   believed until a final transcript has words: a noisy line does not move the call from one recogniser to the next.

An opinion is asked for once: while one is pending, another empty transcript settles it. It costs the doubted utterance
the time that the next recogniser takes to connect and to hear it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from voicepipe.calls.failover import Attempts, FailoverList
    from voicepipe.components.events import Transcript
    from voicepipe.pipelines.snapshot import OpenedSpeechToText


class SecondOpinion:
    """Judges the final transcripts of one call.

    Args:
        after_ms: the length of voice from which an empty transcript is doubted, in ms; 0: it never is.
        stts: the call's recognisers, to which failures are reported.
        attempts: has the one that listens at present.

    """

    def __init__(
        self, after_ms: int, stts: FailoverList[OpenedSpeechToText], attempts: Attempts[OpenedSpeechToText]
    ) -> None:
        self._after_ms, self._stts, self._attempts = after_ms, stts, attempts
        self._doubted: OpenedSpeechToText | None = None  # whose empty transcript is to be confirmed
        self._agreed = False  # two recognisers found no words in voice, and no words have come since

    def doubts(self, final: Transcript, voiced_ms: float) -> bool:
        """Judges the next final transcript.

        Args:
            final: the transcript of the present recogniser.
            voiced_ms: the length of voice that it covers, in ms.

        Returns:
            True if the transcript is doubted, and the next recogniser has to hear the audio again.

        """
        doubted, self._doubted = self._doubted, None
        if final.text:
            self._agreed = False
            if doubted is not None:
                self._report(doubted)
            return False
        if doubted is not None:
            self._agreed = True
        is_doubtful = 0 < self._after_ms <= voiced_ms
        if self._agreed or not is_doubtful or not self._attempts.has_other:
            return False
        self._doubted = self._attempts.current
        return True

    def _report(self, doubted: OpenedSpeechToText) -> None:
        """Reports that a recogniser missed words that the present one has found."""
        error = ComponentError(
            "returned no transcript for speech that another recogniser transcribed",
            component=doubted.ref.name,
            role=doubted.ref.role,
            hint="on_failure.second_opinion_ms sets when another one is asked",
        )
        doubted.breaker.failed(error, trio.current_time())
        self._stts.tell(error)
        self._stts.tell_next("alternate", self._attempts.current.ref.name)
