"""Routes with hours, dates and a time zone: the moment is an argument, and daylight saving is in the table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicepipe.components.requests import CallInfo
from voicepipe.config.settings import Route, SetConfig, When
from voicepipe.errors import Location
from voicepipe.pipelines.routing import choose, compare

HERE = Location(Path("set.yaml"))
OFFICE = {"hours": ("mon-fri 09:00-17:00",), "timezone": "Europe/Berlin"}


def taken(at, info=CallInfo(), **when):  # noqa: B008 - frozen
    """Whether a route with this condition takes a call at a moment, given in UTC."""
    route = Route(When(**when), {"yes": 1}, HERE)
    config = SetConfig(HERE.file, "", "no", {}, None, (), routes=(route,))
    return choose(config, info, datetime.fromisoformat(at).replace(tzinfo=UTC)).pipeline == "yes"


@pytest.mark.parametrize(
    ("when", "inside", "outside"),
    [
        # Winter in Berlin is one hour ahead of UTC, summer two.
        (OFFICE, ["2026-11-30T08:00", "2026-11-30T15:59:59"], ["2026-11-30T07:59:59", "2026-11-30T16:00"]),
        (OFFICE, ["2026-07-06T07:00", "2026-07-06T14:59:59"], ["2026-07-06T06:59:59", "2026-07-06T15:00"]),
        (OFFICE, ["2026-12-04T15:59"], ["2026-12-05T10:00", "2026-12-06T10:00"]),
        # The day is that of the wall clock: Monday 00:30 in Berlin is Sunday 23:30 in UTC.
        (OFFICE | {"hours": ("mon",)}, ["2026-11-29T23:30", "2026-11-30T22:59"], ["2026-11-30T23:00"]),
        (OFFICE | {"hours": ("mon",), "timezone": "Pacific/Auckland"}, ["2026-11-29T11:30"], ["2026-11-30T11:30"]),
        (OFFICE | {"hours": ("mon",), "timezone": "Asia/Kathmandu"}, ["2026-11-29T18:15"], ["2026-11-29T18:14"]),
        (OFFICE | {"hours": ("mon",), "timezone": "UTC"}, ["2026-11-30T00:00"], ["2026-11-29T23:59"]),
        # 25 October 2026 in Berlin: 03:00 becomes 02:00, so 02:30 comes twice, at 00:30 and 01:30 in UTC.
        (OFFICE | {"hours": ("sun 02:00-02:45",)}, ["2026-10-25T00:30", "2026-10-25T01:30"],
         ["2026-10-24T23:59", "2026-10-25T00:50", "2026-10-25T01:45", "2026-10-25T02:30"]),
        (OFFICE | {"hours": ("sun 01:00-02:00",)}, ["2026-10-24T23:59"], ["2026-10-25T00:00", "2026-10-25T01:00"]),
        (OFFICE | {"hours": ("sun 03:00-04:00",)}, ["2026-10-25T02:00"], ["2026-10-25T01:59"]),
        (OFFICE | {"hours": ("sat 22:00-06:00",)}, ["2026-10-24T20:00", "2026-10-25T00:30", "2026-10-25T04:59"],
         ["2026-10-24T19:59", "2026-10-25T05:00"]),
        # 29 March 2026 in Berlin: 02:00 becomes 03:00 at 01:00 in UTC, so 02:30 does not come.
        (OFFICE | {"hours": ("sun 02:00-03:00",)}, [], ["2026-03-29T00:59", "2026-03-29T01:00", "2026-03-29T01:30"]),
        (OFFICE | {"hours": ("sun 01:30-03:30",)}, ["2026-03-29T00:30", "2026-03-29T00:59", "2026-03-29T01:29"],
         ["2026-03-29T00:29", "2026-03-29T01:30"]),
        (OFFICE | {"hours": ("sat 22:00-06:00",)}, ["2026-03-28T21:00", "2026-03-29T03:59"],
         ["2026-03-28T20:59", "2026-03-29T04:00"]),
        # Both changes of New York's, which come in other weeks than Europe's.
        ({"hours": ("sun 01:00-02:00",), "timezone": "America/New_York"}, ["2026-11-01T05:30", "2026-11-01T06:30"],
         ["2026-11-01T04:59", "2026-11-01T07:00"]),
        ({"hours": ("sun 02:00-03:00",), "timezone": "America/New_York"}, [], ["2026-03-08T06:59", "2026-03-08T07:00"]),
        ({"hours": ("mon-fri 09:00-17:00",), "timezone": "America/New_York"}, ["2026-03-16T13:00"],
         ["2026-03-06T13:00"]),
        # Outside of hours, and both.
        ({**OFFICE, "hours": (), "outside_hours": ("mon-fri 09:00-17:00",)}, ["2026-11-30T07:59", "2026-12-05T10:00"],
         ["2026-11-30T08:00"]),
        (OFFICE | {"outside_hours": ("12:00-13:00",)}, ["2026-11-30T10:59", "2026-11-30T12:00"], ["2026-11-30T11:30"]),
        ({**OFFICE, "hours": ("mon 09:00-12:00", "tue 13:00-17:00")}, ["2026-11-30T09:00", "2026-12-01T13:00"],
         ["2026-11-30T13:00", "2026-12-01T09:00"]),
        # Dates, of the wall clock too.
        ({"dates": ("2026-12-24..2026-12-26",), "timezone": "Europe/Berlin"}, ["2026-12-23T23:00", "2026-12-26T22:59"],
         ["2026-12-23T22:59", "2026-12-26T23:00"]),
        ({"dates": ("12-25", "01-01"), "timezone": "Europe/Berlin"}, ["2027-12-25T12:00", "2028-01-01T12:00"],
         ["2027-12-26T12:00"]),
        ({"dates": ("12-24..01-06",), "timezone": "UTC"}, ["2026-12-31T12:00", "2027-01-06T12:00"],
         ["2027-01-07T12:00"]),
        (OFFICE | {"except_dates": ("2026-12-25", "12-24")}, ["2026-12-23T12:00"],
         ["2026-12-24T12:00", "2026-12-25T12:00"]),
        (OFFICE | {"dates": ("2026-12-24",)}, ["2026-12-24T12:00"], ["2026-12-24T20:00", "2026-12-23T12:00"]),
    ],
)  # fmt: skip
def test_when_a_route_takes_calls(when, inside, outside):
    assert [at for at in inside + outside if taken(at, **when)] == inside


def test_the_moment_may_be_given_in_any_zone():
    config = SetConfig(HERE.file, "", "no", {}, None, (), routes=(Route(When(**OFFICE), {"yes": 1}, HERE),))
    at = [datetime.fromisoformat(text) for text in ("2026-11-30T08:30+00:00", "2026-11-30T17:30+09:00")]
    assert {choose(config, CallInfo(), moment).pipeline for moment in at} == {"yes"}


def test_the_other_keys_must_match_too():
    assert taken("2026-11-30T12:00", CallInfo(called="1"), called=("1",), **OFFICE)
    assert not taken("2026-11-30T12:00", CallInfo(called="2"), called=("1",), **OFFICE)


def test_the_reason_has_the_wall_clocks_time():
    when = When(
        hours=("sat", "mon-fri 09:00-17:00"), outside_hours=("12:00-13:00",), dates=("12-24",),
        except_dates=("2026-12-24",), timezone="Europe/Berlin",
    )  # fmt: skip
    said = [str(one) for one in compare(when, CallInfo(), datetime(2026, 12, 24, 12, tzinfo=UTC))]
    assert said == [
        'Thu 2026-12-24 13:00 in Europe/Berlin is in hours "mon-fri 09:00-17:00"',
        'Thu 2026-12-24 13:00 in Europe/Berlin is not in outside_hours "12:00-13:00"',
        'Thu 2026-12-24 13:00 in Europe/Berlin is in dates "12-24"',
        'Thu 2026-12-24 13:00 in Europe/Berlin is in except_dates "2026-12-24"',
    ]


def test_a_split_is_the_same_whatever_its_hours_are_called():
    """The identity of a condition is that of its minutes; it is part of a split's hash."""
    same = [When(hours=hours) for hours in (("mon-fri 09:00-17:00",), ("fri,mon-thu 9:00-12:00,12:00-17:00",))]
    assert same[0].identity == same[1].identity != When(hours=("mon-fri 09:00-17:01",)).identity
    assert When(called=("1",)).identity == (("called", ("1",)),)
