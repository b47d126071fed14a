"""Hours of the week, dates and time zones, as routes name them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from voicepipe.config.dates import dates_of
from voicepipe.config.hours import ALWAYS, DAY, TimeTextError, is_within, minutes_of
from voicepipe.config.timezones import zone_of

MONDAY = datetime(2026, 11, 30)  # noqa: DTZ001 - a wall clock's time


def ranges(text):
    """The minutes of a text as ranges of wall-clock times, the first of the week first."""
    minutes, found, begins = minutes_of(text), [], None
    for minute in range(7 * DAY + 1):
        inside = minute < 7 * DAY and minutes >> minute & 1
        if inside and begins is None:
            begins = minute
        elif not inside and begins is not None:
            found.append(f"{_clock(begins)} {_clock(minute)}")
            begins = None
    return found


def _clock(minute):
    return f"{MONDAY + timedelta(minutes=minute):%a %H:%M}"


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("mon 09:00-17:00", ["Mon 09:00 Mon 17:00"]),
        ("MON 9:00-17:00", ["Mon 09:00 Mon 17:00"]),
        ("monday 09:00 - 17:00", ["Mon 09:00 Mon 17:00"]),
        ("tue 09:00\u201317:00", ["Tue 09:00 Tue 17:00"]),
        ("mon-wed 09:00-12:00", [f"{day} 09:00 {day} 12:00" for day in ("Mon", "Tue", "Wed")]),
        ("mon, wed 09:00-12:00", [f"{day} 09:00 {day} 12:00" for day in ("Mon", "Wed")]),
        ("mon 09:00-12:00,13:00-17:00", ["Mon 09:00 Mon 12:00", "Mon 13:00 Mon 17:00"]),
        ("mon 09:00-12:00, 12:00-17:00", ["Mon 09:00 Mon 17:00"]),
        ("fri 22:00-06:00", ["Fri 22:00 Sat 06:00"]),
        ("sun 22:00-06:00", ["Mon 00:00 Mon 06:00", "Sun 22:00 Mon 00:00"]),
        ("thu-fri 22:00-06:00", ["Thu 22:00 Fri 06:00", "Fri 22:00 Sat 06:00"]),
        ("fri 22:00-00:00", ["Fri 22:00 Sat 00:00"]),
        ("fri 22:00-24:00", ["Fri 22:00 Sat 00:00"]),
        ("sat-sun", ["Sat 00:00 Mon 00:00"]),
        ("sun-mon", ["Mon 00:00 Tue 00:00", "Sun 00:00 Mon 00:00"]),
        ("sat-sun 00:00-24:00", ["Sat 00:00 Mon 00:00"]),
        ("23:59-00:01", [
            "Mon 00:00 Mon 00:01",
            *(f"{a} 23:59 {b} 00:01" for a, b in zip(
                ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), ("Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True)),
            "Sun 23:59 Mon 00:00",
        ]),
    ],
)  # fmt: skip
def test_what_hours_mean(text, means):
    assert ranges(text) == means


@pytest.mark.parametrize(
    "text", ["mon-sun", "00:00-24:00", "mon-sun 00:00-24:00", "tue-mon", "00:00-12:00,12:00-00:00"]
)
def test_the_whole_week(text):
    assert minutes_of(text) == ALWAYS


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "is empty", "for example"),
        ("mon-fri 9-17", 'has a time that can\'t be read: "9"', "09:00-17:30"),
        ("mon-fri 9am-5pm", "can't be read", "09:00-17:30"),
        ("mon-fri 09:00", "has a time without an end", "write 09:00-17:00"),
        ("mon-fri 09:00-25:00", 'can\'t be read: "25:00"', "hours and minutes"),
        ("mon-fri 09:60-10:00", 'can\'t be read: "09:60"', "hours and minutes"),
        ("mon 24:00-06:00", "begins at 24:00", "00:00 of the next day"),
        ("mon 09:00-09:00", "has a range of no length", "00:00-24:00"),
        ("mon-fri 09:00-17:00, sat 10:00-14:00", "has more than days and times", "several in a list"),
        ("09:00-17:00 mon-fri", "has times before its days", "mon-fri 09:00-17:00"),
        ("mno-fri 09:00-17:00", '"mno" is no day', 'did you mean "mon"'),
        ("montag 09:00-17:00", '"montag" is no day', "days: mon, tue"),
        ("mon-tue-wed 09:00-17:00", "is no day", "days: mon"),
    ],
)
def test_hours_that_are_none(text, message, hint):
    with pytest.raises(TimeTextError) as caught:
        minutes_of(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_the_last_minute_is_in_and_the_end_is_not():
    minutes = minutes_of("mon 09:00-17:00")
    times = [(8, 59, 59), (9, 0, 0), (16, 59, 59), (17, 0, 0)]
    assert [is_within(MONDAY.replace(hour=h, minute=m, second=s), minutes) for h, m, s in times] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("2026-12-24", ["2026-12-24"], ["2026-12-23", "2026-12-25", "2027-12-24"]),
        ("12-25", ["2026-12-25", "1999-12-25"], ["2026-12-24", "2026-01-25"]),
        ("2026-12-24..2026-12-26", ["2026-12-24", "2026-12-25", "2026-12-26"], ["2026-12-23", "2026-12-27"]),
        ("2026-12-24 .. 2027-01-06", ["2026-12-31", "2027-01-01"], ["2027-12-31", "2027-01-07"]),
        ("12-24..01-06", ["2026-12-24", "2031-01-06", "2026-12-31"], ["2026-12-23", "2026-01-07", "2026-07-01"]),
        ("6-1..8-31", ["2026-06-01", "2026-08-31"], ["2026-05-31", "2026-09-01"]),
        ("02-29", ["2028-02-29"], ["2026-02-28", "2026-03-01"]),
        ("2028-02-29", ["2028-02-29"], ["2028-03-01"]),
    ],
)
def test_what_dates_mean(text, inside, outside):
    dates = dates_of(text)
    assert [day for day in inside + outside if dates.has(date.fromisoformat(day))] == inside


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no date"),
        ("24.12.", "is no date"),
        ("2026-12", "is no date"),
        ("13-01", "there is no day 13-01"),
        ("2026-02-29", "there is no day 2026-02-29"),
        ("02-30", "there is no day 02-30"),
        ("2026-12-26..2026-12-24", "ends before it begins"),
        ("2026-12-24..12-26", "has a year on one side only"),
        ("2026-12-24..", "is no date"),
        ("2026-12-24 to 2026-12-26", "is no date"),
    ],
)
def test_dates_that_are_none(text, message):
    with pytest.raises(TimeTextError) as caught:
        dates_of(text)
    assert message in str(caught.value)
    assert '"12-25" for each year' in caught.value.hint or "earlier date first" in caught.value.hint


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"])
def test_zones_that_there_are(name):
    assert zone_of(name).key == name


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Berln", "localtime", "../etc/passwd", "/etc/passwd", "+01:00", "a\0b"]
)
def test_zones_that_there_are_not(name):
    with pytest.raises(KeyError):
        zone_of(name)
