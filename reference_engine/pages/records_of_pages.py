"""Where the pages Calls and Figures read: the database of records that the engine's file names, if it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_engine.records.reading import Reader
    from reference_engine.settings.records_place import RecordsPlace
    from reference_engine.settings.settings import CurrentSettings


class PageRecords:
    """Opens the database of records when a page first needs it, and another one after a reload that names another.

    Args:
        current: the settings in force.

    """

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current
        self._place: RecordsPlace | None = None
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader | None:
        """Reads the database; None: records go nowhere, or to a file."""
        place = self._current.settings.records
        if place is None or not place.is_database:
            return None
        if self._reader is None or place != self._place:
            from reference_engine.records.reading import Reader  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import

            self._place = place
            self._reader = Reader(place)
        return self._reader

    @property
    def in_file(self) -> bool:
        """Whether records go to a file of JSON lines, which no page can read."""
        place = self._current.settings.records
        return place is not None and not place.is_database
