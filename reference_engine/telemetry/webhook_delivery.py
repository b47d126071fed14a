"""Delivers the webhooks of one target, one after the other, each until it is taken, refused, or too old.

Order. Webhooks are tried in the order in which they were made, but none waits for one that failed: that one is put off,
by a pause that grows with its own attempts. The target as a whole is left alone for half as long after each failure in
a row, so that one that is away gets few attempts, and one webhook that the target can't digest holds no other up.

Again. A webhook leaves the file once the target has taken it. If the process ends between the two, it is sent again,
with the same ID: receivers remember the IDs of the last days.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from attrs import define, field

from reference_engine.log.log import Log
from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.telemetry.webhook_messages import TargetAnswer, headers_of, pause_s
from reference_engine.telemetry.webhook_spool import WebhookSpool

if TYPE_CHECKING:
    from reference_engine.telemetry.webhook_spool import WaitingWebhook

LONGEST_TARGET_PAUSE_S = 300.0
"""The longest pause of a target that is away, in s: it is tried again at least so often."""

LOOK_EVERY_S = 2.0
"""How often the waiting webhooks are counted, and those that are too old or too many dropped, in s."""

REPORT_EVERY_S = 60.0
"""The least time between two records of refused webhooks of one target, in s."""


@define(eq=False)
class TargetCounts:
    """What became of the webhooks of a target, for metrics."""

    delivered: int = 0
    """Taken by the target."""
    failed: int = 0
    """Attempts that failed and are made again."""
    dropped: int = 0
    """Webhooks that the target will not get: refused, too old, or too many."""
    waiting: int = 0
    """Webhooks in the file."""


@define(eq=False)
class WebhookDelivery:
    """The deliveries of one target; used by one thread."""

    target: NotifyTarget
    """The target."""
    spool: WebhookSpool
    """The waiting webhooks."""
    send: Callable[[dict[str, str], str], TargetAnswer]
    """Makes one attempt, with headers and a body; blocks, and never raises."""
    log: Log
    """Gets `webhook.failing`, `webhook.recovered`, `webhook.refused`, `webhook.dropped` and `webhook.gone`."""
    now: Callable[[], float]
    """Returns the time, in s since the epoch."""
    share: Callable[[], float]
    """Returns a random number from 0 to 1, for pauses."""
    counts: TargetCounts = field(factory=TargetCounts)
    """What became of them."""
    is_gone: bool = False
    """Whether the target has answered 410 Gone: it gets no more, until its settings change or the engine starts."""
    _failures: int = 0
    _paused_until: float = -inf
    _refused: int = 0
    _reported_at: float = -inf
    _looked_at: float = -inf

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def step(self) -> float:
        """Makes one attempt if one is due; returns the time until there may be another, in s: infinite if none waits.

        Raises:
            sqlite3.Error: the file can't be used.

        """
        now = self.now()
        if self.is_gone:
            # Not what is made from now on: the target may have new settings, and another thread, by then.
            removed = self.spool.remove_until(self.target.key, now)
            self._dropped(removed, "the target has answered 410 Gone")
            return inf
        if not 0 <= now - self._looked_at < LOOK_EVERY_S:
            self._looked_at = now
            self._remove_old(now)
        # A clock that was put back does not make the pause longer.
        if now < self._paused_until <= now + LONGEST_TARGET_PAUSE_S:
            return self._paused_until - now
        message = self.spool.next_due(self.target.key, now)
        if not isinstance(message, float) and message is not None:
            self._attempt(message, now)
            return max(0.0, min(self._paused_until - self.now(), LONGEST_TARGET_PAUSE_S))
        return inf if message is None else max(0.0, message)

    def _attempt(self, message: WaitingWebhook, now: float) -> None:
        answer = self.send(headers_of(self.target, message.id, message.body, now), message.body)
        now = self.now()
        match answer.fate:
            case "delivered":
                self.spool.remove(message)
                self.counts.delivered += 1
                if self._failures:
                    self.log.info("webhook.recovered", target=self.target.shown, waiting=self._waiting())
                self._failures = 0
            case "retry":
                self.counts.failed += 1
                self._failures += 1
                pause = max(pause_s(message.attempts + 1, self.share()), answer.retry_after_s(now))
                self.spool.put_off(message, now + pause)
                whole = min(pause_s(self._failures, self.share()) / 2, LONGEST_TARGET_PAUSE_S)
                self._paused_until = now + max(whole, min(answer.retry_after_s(now), LONGEST_TARGET_PAUSE_S))
                if self._failures == 1:
                    self.log.warning(
                        "webhook.failing",
                        target=self.target.shown,
                        of=message.type,
                        reason=str(answer),
                        waiting=self._waiting(),
                        hint=f"webhooks are kept and retried for {self.target.keep_h:g} h (notify: keep_h)",
                    )
            case "gone":
                self.is_gone = True
                self.log.error(
                    "webhook.gone",
                    target=self.target.shown,
                    reason="the target has answered 410 Gone, so it gets no more webhooks",
                    hint="remove it from `notify`; if it is back, change its settings or restart the engine",
                )
            case _:
                self.spool.remove(message)
                self.counts.dropped += 1
                self._refused += 1
                self._report_refused(message, answer, now)

    def _report_refused(self, message: WaitingWebhook, answer: TargetAnswer, now: float) -> None:
        if abs(now - self._reported_at) < REPORT_EVERY_S:
            return
        self._reported_at = now
        refused, self._refused = self._refused, 0
        self.log.error(
            "webhook.refused",
            target=self.target.shown,
            of=message.type,
            reason=str(answer),
            dropped=refused,
            hint="such an answer is not retried: check `url`, `secret` and `headers` of this target under `notify`",
        )

    def _remove_old(self, now: float) -> None:
        removed = self.spool.remove_old(self.target.key, now - self.target.keep_h * 3600, self.target.max_waiting)
        self._dropped(removed, "they waited longer than `keep_h`, or were more than `max_waiting`")
        self._waiting()

    def _dropped(self, number: int, reason: str) -> None:
        if number:
            self.counts.dropped += number
            self.log.error("webhook.dropped", target=self.target.shown, dropped=number, reason=reason)

    def _waiting(self) -> int:
        self.counts.waiting = self.spool.counts().get(self.target.key, 0)
        return self.counts.waiting
