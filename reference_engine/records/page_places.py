"""Where the next page of a list of calls begins: the time and the ID of the last call that was shown, as text."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen


@frozen
class PagePlace:
    """The place of a call in a list that is sorted by time and ID."""

    began: datetime
    """The time at which the call began."""
    call_id: str
    """Its ID, which tells it from others that began at the same time."""

    def as_text(self) -> str:
        """Returns what `after` of the next page is: `20261201T021011.123456Z-ID`."""
        return f"{self.began.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{self.call_id}"


def read_page_place(text: str) -> PagePlace:
    """Returns the place that a page named.

    Raises:
        ValueError: no page names it so.

    """
    time, _, call_id = text.partition("-")
    try:
        began = datetime.strptime(time, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        call_id = ""
    if not call_id:
        raise ValueError(f"{text[:100]!r} is no place in a list of calls: take `next` of the page before")
    return PagePlace(began, call_id)
