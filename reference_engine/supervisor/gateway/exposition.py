"""Metrics as text: reads OpenMetrics, and writes it or Prometheus's older text format.

Why not prometheus_client's parser, which the tests hold this one against: it makes an object of each sample, checks
what our own workers have written, and takes fourteen times as long, on the loop that hands connections to workers. A
worker with a thousand pipelines has sixty thousand samples.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The content type with exemplars, which Prometheus asks for."""

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The content type without exemplars, which everything reads."""

_OLD: Final = {
    "counter": ("_total", "counter"),
    "info": ("_info", "gauge"),
    "stateset": ("", "gauge"),
    "unknown": ("", "untyped"),
}
"""The suffix of a metric's name and its type in the older format, by the type in OpenMetrics."""

_SAMPLE: Final = re.compile(
    r'([a-zA-Z_:][\w:]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?) (\S+)(?: [^\s#]+)?(?: # (\{.*))?', re.ASCII
)


@define
class Sample:
    """The value of a series."""

    value: float
    """The value."""
    exemplar: str = ""
    """The exemplar as it stands in OpenMetrics, with its trace, value and time; empty: there is none."""

    @property
    def exemplar_time(self) -> float:
        """The time of the exemplar, in s since 1970; 0 without one, or if it has none."""
        _labels, _, rest = self.exemplar.rpartition("} ")
        _value, _, time = rest.partition(" ")
        return float(time) if time else 0.0


@define
class Family:
    """A metric with all of its series."""

    name: str
    """The name in OpenMetrics: that of a counter is without `_total`."""
    type: str = "unknown"
    """`counter`, `histogram`, `gauge`, ..."""
    help: str = ""
    """The help text, escaped as in OpenMetrics."""
    samples: dict[str, Sample] = field(factory=dict)
    """The samples by series, with its suffix and labels as they are written: `x_seconds_bucket{le="0.5"}`."""

    def suffix_of(self, series: str) -> str:
        """Returns what a series adds to the family's name: `_total`, `_bucket`, `_created`, or nothing."""
        return series.partition("{")[0].removeprefix(self.name)


def read(text: str) -> dict[str, Family]:
    """Returns the families of a text in OpenMetrics, by name.

    Raises:
        ValueError: a line is no sample of OpenMetrics.

    """
    families: dict[str, Family] = {}
    family = Family("")
    for line in text.splitlines():
        if line.startswith("#"):
            _hash, what, *rest = line.split(" ", 3)
            if what not in {"HELP", "TYPE"}:
                continue
            name, told = rest[0], rest[1] if len(rest) > 1 else ""
            family = families.setdefault(name, Family(name))
            if what == "HELP":
                family.help = told
            else:
                family.type = told
        elif line:
            sample = _SAMPLE.fullmatch(line)
            if sample is None:
                raise ValueError(f"no sample of OpenMetrics: {line[:200]!r}")
            series, value, exemplar = sample.groups()
            if not series.startswith(family.name):  # of an unknown type, which needs no heading
                name = series.partition("{")[0]
                family = families.setdefault(name, Family(name))
            family.samples[series] = Sample(float(value), exemplar or "")
    return families


def write(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Returns families as text in OpenMetrics, or else in Prometheus's text format, without exemplars."""
    if openmetrics:
        return "".join(f"{line}\n" for family in families for line in _openmetrics(family)) + "# EOF\n"
    return "".join(f"{line}\n" for family in families for line in _plain(family))


def _openmetrics(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.type}"
    for series, sample in family.samples.items():
        exemplar = f" # {sample.exemplar}" if sample.exemplar else ""
        yield f"{series} {_number(sample.value)}{exemplar}"


def _plain(family: Family) -> Iterator[str]:
    """Yields the lines of the older format: counters are named with `_total`, and `_created` is a gauge of its own."""
    text = family.help.replace('\\"', '"')
    suffix, kind = _OLD.get(family.type, ("", family.type))
    name = family.name + suffix
    created = {series: sample for series, sample in family.samples.items() if family.suffix_of(series) == "_created"}
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield from (f"{series} {_number(each.value)}" for series, each in family.samples.items() if series not in created)
    if created:
        yield f"# HELP {family.name}_created {text}"
        yield f"# TYPE {family.name}_created gauge"
        yield from (f"{series} {_number(each.value)}" for series, each in created.items())


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
