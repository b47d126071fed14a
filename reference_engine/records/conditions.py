"""The conditions of a filter in SQL, and the choice of the index that SQLite is to read: see queries.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import Boolean, ColumnElement, and_, column, func, literal, literal_column, select, table
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from reference_engine.records.completing import first_text_id
from reference_engine.records.tables import call_texts, calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column, Connection

    from reference_engine.records.history import CallFilter
    from reference_engine.records.page_places import PagePlace

_FEW = 5000
"""The number of calls that are sorted rather than looked for by time."""

_MANY = 50_000
"""The number of calls up to which the conditions of a filter are compared."""

_INDEXED = frozenset({"up", "caller", "called", "failed", "failed over", "outcome", "version", "pipeline", "set"})
"""The conditions that an index answers."""

_FAILED: ColumnElement[bool] = literal_column("calls.failed")  # no Boolean, of which SQLAlchemy makes `failed = 1`
_FAILED_OVER: ColumnElement[bool] = literal_column("calls.failed_over")  # likewise
_UP: ColumnElement[bool] = literal_column("calls.state = 'up'")  # the index's own words, without a parameter

_MOST_WORDS = 50
"""The most words that stand for the beginning of one."""

call_words = table("call_words", column("rowid"), column("call_words"))
_vocabulary = table("call_vocabulary", column("term"))


@frozen
class FilterCondition:
    """A condition of a filter that an index may answer."""

    name: str
    """The column, or what else the index is of."""
    terms: tuple[ColumnElement[bool], ...]
    """What must be true."""
    sorted: bool = False
    """True if the rows that its index gives are not in the order of time, so that they must be sorted."""


def conditions_of(filter: CallFilter, *, sqlite: bool) -> list[FilterCondition]:  # noqa: A002 - as above
    """Returns the conditions, those first that few calls match in the usual case."""
    found = []
    if filter.state == "up":
        found.append(FilterCondition("up", (_UP,), sorted=True))
    elif filter.state is not None:
        found.append(FilterCondition("state", (calls.c.state == filter.state,)))
    for of, number in ((calls.c.caller, filter.caller), (calls.c.called, filter.called)):
        if number is not None and (not number or number.strip("*")):
            found.append(_of_number(of, number, sqlite=sqlite))
    marks = (
        ("failed", _FAILED, True if filter.state == "lost" else filter.failed),
        ("failed over", _FAILED_OVER, filter.failed_over),
    )
    for name, is_so, wanted in marks:
        if wanted is not None:
            found.append(FilterCondition(name, (is_so,)) if wanted else FilterCondition(f"not {name}", (~is_so,)))
    found += [
        FilterCondition(name, (calls.c[name] == value,))
        for name in ("outcome", "version", "pipeline", "set")
        if (value := getattr(filter, name)) is not None
    ]
    times = []
    if filter.since is not None:
        times.append(calls.c.began >= filter.since)
    if filter.until is not None:
        times.append(calls.c.began < filter.until)
    return [*found, FilterCondition("time", tuple(times))]


def choose_driving(connection: Connection, conditions: Sequence[FilterCondition]) -> tuple[FilterCondition, bool]:
    """Returns the condition whose index SQLite is to read, and whether few calls match it.

    It is the one that matches the fewest calls; the time, if none of the others has an index.
    """
    time = conditions[-1]
    least, fewest = time, _MANY + 1
    for condition in conditions:
        if condition.name in _INDEXED:
            most = _FEW if condition.sorted else _MANY
            terms = condition.terms if condition.sorted else (*condition.terms, *time.terms)
            some = select(literal(1).label("one")).select_from(calls).where(*terms).limit(most).subquery()
            count = connection.scalar(select(func.count()).select_from(some)) or 0
            if count < fewest and (count < most or not condition.sorted):
                least, fewest = condition, count
    return least, fewest < _FEW


def _of_number(of: Column[str], number: str, *, sqlite: bool) -> FilterCondition:
    if not number.endswith("*"):
        return FilterCondition(of.name, (of == number,))
    return FilterCondition(of.name, (begins_with(of, number.rstrip("*"), sqlite=sqlite),), sorted=True)


def begins_with(number: Column[str], beginning: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Returns the condition that a text begins with another, which is not empty."""
    if not sqlite:  # PostgreSQL's collation may sort otherwise than by characters
        return number.startswith(beginning, autoescape=True)
    return and_(number >= beginning, number < _after(beginning))


def _after(beginning: str) -> str:
    """Returns the first text that comes after all that begin so."""
    return f"{beginning[:-1]}{chr(ord(beginning[-1]) + 1)}"


def hidden(term: ColumnElement[bool]) -> ColumnElement[bool]:
    """Returns a condition that SQLite answers by no index."""
    return UnaryExpression(term.self_group(), operator=custom_op("+"), type_=Boolean())


def plus(sorted_by: Column[Any]) -> ColumnElement[Any]:
    """Returns a column that SQLite sorts by without an index."""
    return UnaryExpression(sorted_by, operator=custom_op("+"), type_=sorted_by.type)


def matching(connection: Connection, words: Sequence[str]) -> ColumnElement[bool]:
    """Returns FTS5's condition: all words, each in quotes, within which nothing is an operator.

    For the beginning of a word FTS5 would first collect all rows that match. So the words that begin so are looked up
    in its vocabulary, if they are not too many, and asked for one by one: their rows come sorted, as far as needed.
    """
    terms = []
    for word in words:
        if word.endswith("*"):
            found = connection.scalars(
                select(_vocabulary.c.term)
                .where(_vocabulary.c.term >= word[:-1], _vocabulary.c.term < _after(word[:-1]))
                .limit(_MOST_WORDS + 1)
            ).all()
            many = not 0 < len(found) <= _MOST_WORDS
            terms.append(f'"{word[:-1]}"*' if many else "(" + " OR ".join(f'"{one}"' for one in found) + ")")
        else:
            terms.append(f'"{word}"')
    query = " AND ".join(terms)
    return literal_column("call_words").op("MATCH", is_comparison=True)(literal(query))


def tsquery(words: Sequence[str]) -> str:
    """Returns PostgreSQL's query for all words, each in quotes."""
    return " & ".join(f"'{word[:-1]}':*" if word.endswith("*") else f"'{word}'" for word in words)


def text_range(connection: Connection, filter: CallFilter, after: PagePlace | None) -> Iterator[ColumnElement[bool]]:  # noqa: A002 - as above
    """Yields the conditions of time and place on the `id` of a text."""
    number = call_words.c.rowid
    if filter.since is not None:
        yield number >= first_text_id(filter.since)
    if filter.until is not None:
        yield number < first_text_id(filter.until)
    if after is not None:
        place = connection.scalar(select(call_texts.c.id).where(call_texts.c.call_id == after.call_id))
        yield number < (first_text_id(after.began) if place is None else place)  # None: it was deleted meanwhile
