"""The tables of the database of records, for SQLite and PostgreSQL.

Theory of operation
===================

*A call is a row of `calls`* from its first moment. Its turns, tools, failures, transfers and whatever steered it are
rows of their own, written when they happen, so that the record of a call whose engine died tells how far it came. The
use of components is written at the end, when it is known. In these tables a row's key is the call and the row's
position among its kind, from 0: a row that is written twice is the same row, which the spool relies on.

*Full text* is searched in `call_texts`: a row for each call that is over, with its words, each once, as `words.py`
makes them of its turns. A list of calls is sorted by time, so its `id` is made of the time at which the call began:
SQLite's FTS5 gives the rows that match by descending `id` without sorting them, however many they are. Triggers delete
a call's row when words of its turns are changed or deleted, so that erased words can't be searched for.

*Everything here is redacted.* Whatever is to be hidden was hidden before it was given to the store.

*Times* are UTC. Points in a call are seconds since it began, on the engine's monotonic clock: a clock that jumps moves
no turn. Unknown is NULL, never 0 and never an empty text, except where a column says otherwise.

*Who holds a call.* Each start of an engine is a row of `engine_runs`, whose `beat` it raises every few seconds. A call
that is `up` while its engine's run has ended, or beats no more, is `lost`. Each worker of an engine with several
processes is a run of its own.

*Configurations* are kept by digest, once, with their secrets concealed; `versions` has what each set served, and when.

*Figures* are counted by hour as calls end, so that a year of them is read at once, and survives that its calls are
deleted. What was used has a table of its own, so that the database adds it up.

The schema's versions are Alembic's, in `migrations/`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from reference_engine.records.text_index import make_text_index

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC: with its zone in Python and in PostgreSQL, as sortable text without it in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns what is stored.

        Raises:
            ValueError: the time has no zone.

        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Returns the time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

engine_runs = Table(
    "engine_runs",
    metadata,
    Column("run", Text, primary_key=True, comment="a UUID for each start of an engine"),
    Column("name", Text, nullable=False, comment="the engine's name: that of its machine, unless it has another"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_start", Text, nullable=False, comment="tells a process from a later one with the same pid"),
    Column("software", Text, nullable=False, comment="voicepipe's version"),
    Column("started", UtcTime, nullable=False),
    Column("ended", UtcTime, comment="NULL while it runs, and for ever if it was killed"),
    Column("beat", BigInteger, nullable=False, default=0, comment="raised every few seconds while it runs"),
    Column("worker", Integer, comment="the number of the process, from 1, if the engine has several; else NULL"),
)

calls = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="up, ended or lost"),
    Column("run", Text, ForeignKey("engine_runs.run"), nullable=False),
    Column("began", UtcTime, nullable=False),
    Column("ended", UtcTime, comment="of a lost call: when it was found to be lost"),
    Column("duration_s", Float),
    Column("set", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("transport", Text, nullable=False, comment="the listener's type"),
    Column("listener", Text, nullable=False),
    Column("transport_id", Text, nullable=False),
    Column("caller", Text, nullable=False, comment="empty: not known"),
    Column("called", Text, nullable=False, comment="empty: not known"),
    Column("variables", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("components", JSON, nullable=False, comment="by role: name, adapter and model of the first alternative"),
    Column("outcome", Text, comment="as in CallEnded.outcome; NULL while it is up, and of a lost call"),
    Column("detail", Text, nullable=False, default=""),
    Column(
        "failed", Boolean, nullable=False, default=False, comment="it was lost, failed, or a component failed in it"
    ),
    Column(
        "failed_over",
        Boolean,
        nullable=False,
        default=False,
        comment="another component than its first choice served it",
    ),
    Column("turns", Integer, nullable=False, default=0),
    Column("interruptions", Integer, nullable=False, default=0),
    Column("discarded_replies", Integer, nullable=False, default=0),
    Column("response_ms", Float, comment="the median of its turns"),
    Column("cost", Float, comment="the sum of what is known; NULL: no price or figure is"),
    Column("cost_is_least", Boolean, nullable=False, default=False, comment="true: some price or figure is not known"),
    Column("currency", Text),
    Column("recording", Text, nullable=False, default="", comment="the file; empty: it was not recorded"),
    Column("recording_failed", Text, nullable=False, default=""),
    Column("consent", Text, comment="to the recording: announced, given, refused; NULL: nobody asked"),
    Column("trace_id", Text),
    Column("counted", Text, comment="the state in which it is in hourly; NULL: it is not"),
    Index("calls_by_time", "began", "call_id"),
    Index("calls_by_caller", "caller", "began", "call_id", postgresql_ops={"caller": "text_pattern_ops"}),
    Index("calls_by_called", "called", "began", "call_id", postgresql_ops={"called": "text_pattern_ops"}),
    Index("calls_by_set", "set", "began", "call_id"),
    Index("calls_by_pipeline", "pipeline", "began", "call_id"),
    Index("calls_by_version", "version", "began", "call_id"),
    Index("calls_by_outcome", "outcome", "began", "call_id"),
    Index("calls_by_transport_id", "transport_id"),
    Index("calls_by_digest", "digest"),
    Index("failed_calls", "began", "call_id", sqlite_where=text("failed"), postgresql_where=text("failed")),
    Index(
        "failed_over_calls", "began", "call_id", sqlite_where=text("failed_over"), postgresql_where=text("failed_over")
    ),
    Index("calls_up", "run", sqlite_where=text("state = 'up'"), postgresql_where=text("state = 'up'")),
)


def _of_call(name: str, *columns: Column[object]) -> Table:
    """Returns a table whose rows are parts of a call."""
    return Table(
        name,
        metadata,
        Column("call_id", Text, ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
        Column("position", Integer, primary_key=True, comment="from 0, among the rows of this kind of the call"),
        *columns,
    )


turns = _of_call(
    "turns",
    Column("turn", Integer, nullable=False, comment="its number, from 1"),
    Column("at_s", Float, nullable=False, comment="its end"),
    Column("trigger", Text, nullable=False),
    Column("heard", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("pressed", JSON, nullable=False, comment="spans of keys in heard"),
    Column("interrupted", Boolean, nullable=False),
    Column("response_ms", Float),
    Column("timings", JSON, nullable=False, comment="as in Timings"),
    Column("heard_from_s", Float, comment="when the caller began to speak"),
    Column("heard_until_s", Float, comment="when the caller had spoken"),
    Column("said_from_s", Float, comment="when the agent was first heard"),
    Column("said_until_s", Float, comment="when the agent was last heard"),
)

tools = _of_call(
    "tools",
    Column("at_s", Float, nullable=False, comment="its end"),
    Column("name", Text, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("result", Text, nullable=False),
    Column("seconds", Float, nullable=False),
)

failures = _of_call(
    "failures",
    Column("at_s", Float, nullable=False),
    Column("role", Text, nullable=False),
    Column("component", Text, nullable=False),
    Column("what", Text, nullable=False, comment="failed, or the step after it: retry, alternate, apology"),
    Column("message", Text, nullable=False),
    Column("answered", Text, nullable=False, default="", comment="the provider's own words; empty: there were none"),
    Column("hint", Text, nullable=False, default="", comment="a remedy; empty: none is known"),
)

steering = _of_call(
    "steering",
    Column("at_s", Float, nullable=False),
    Column("action", Text, nullable=False),
    Column("by", Text, nullable=False, comment="program, tool:NAME, operator:http or operator:cli"),
    Column("text", Text, nullable=False),
    Column("variables", JSON, nullable=False),
)

transfers = _of_call(
    "transfers",
    Column("at_s", Float, nullable=False, comment="its end"),
    Column("target", Text, nullable=False),
    Column("failure", Text, nullable=False, comment="empty: it succeeded"),
    Column("seconds", Float, nullable=False),
)

usage = _of_call(
    "usage",
    Column("role", Text, nullable=False),
    Column("component", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("model", Text),
    Column("requests", Integer, nullable=False),
    Column("reported", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("characters", Integer),
    Column("audio_s", Float),
    Column("charged_characters", Integer),
    Column("charged_audio_s", Float),
    Column("cost", Float, comment="NULL: not known, because a price or a figure is not"),
    Column("cost_is_least", Boolean, nullable=False, default=False, comment="true: some figures are not known"),
    Column("currency", Text),
)

PARTS = (turns, tools, failures, steering, transfers, usage)
"""The tables whose rows are parts of a call."""

call_texts = Table(
    "call_texts",
    metadata,
    Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
        comment="sorts like the time at which the call began",
    ),
    Column("call_id", Text, ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("words", Text().with_variant(TSVECTOR, "postgresql"), nullable=False, comment="sorted, each once"),
    Index("call_texts_words", "words", postgresql_using="gin").ddl_if(dialect="postgresql"),
)

configurations = Table(
    "configurations",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("set", Text, nullable=False),
    Column("first_served", UtcTime, nullable=False),
    Column("config", JSON, nullable=False, comment="the effective configuration, secrets concealed"),
    Column("files", JSON, nullable=False, comment="the SHA-256 of each file, by path"),
)

versions = Table(
    "versions",
    metadata,
    Column("engine", Text, primary_key=True, comment="the engine's name"),
    Column("set", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("served", UtcTime, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("rolled_back_to", Integer),
    Column("plan", Text, nullable=False, comment="what it changed, in words"),
)

hourly = Table(
    "hourly",
    metadata,
    Column("hour", UtcTime, primary_key=True, comment="its beginning"),
    Column("set", Text, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("engine", Text, primary_key=True),
    Column("currency", Text, primary_key=True, comment="empty: no cost is known"),
    Column("calls", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("interruptions", Integer, nullable=False),
    Column(
        "responses",
        LargeBinary,
        nullable=False,
        comment="how many response times are at most 2^(i/16) ms, and above 2^((i-1)/16): 32 bits for each i from 0, "
        "the lowest byte first",
    ),
    Column("cost", Float, nullable=False),
    Column("calls_without_cost", Integer, nullable=False, comment="calls whose cost is not known, or not all of it"),
)

hourly_usage = Table(
    "hourly_usage",
    metadata,
    Column("hour", UtcTime, primary_key=True, comment="its beginning"),
    Column("set", Text, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("engine", Text, primary_key=True),
    Column("currency", Text, primary_key=True, comment="empty: no cost is known"),
    Column("role", Text, primary_key=True),
    Column("adapter", Text, primary_key=True),
    Column("model", Text, primary_key=True, comment="empty: none"),
    Column("requests", Integer, nullable=False),
    Column("reported", Integer, nullable=False),
    Column("input_tokens", BigInteger, comment="as in usage, and so are the others; NULL: not known of any call"),
    Column("output_tokens", BigInteger),
    Column("characters", BigInteger),
    Column("audio_s", Float),
    Column("charged_characters", BigInteger),
    Column("charged_audio_s", Float),
    Column("cost", Float),
    sqlite_with_rowid=False,  # its key is most of it
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("what", Text, nullable=False, comment="records, recordings, transcripts, or a person's calls"),
    Column("reason", Text, nullable=False, comment="keep, or forget"),
    Column("before", UtcTime, comment="everything older was deleted"),
    Column("calls", Integer, nullable=False, comment="the number of calls"),
)


@event.listens_for(metadata, "after_create")
def _make_text_index(_metadata: MetaData, connection: Connection, **_options: object) -> None:
    make_text_index(connection)
