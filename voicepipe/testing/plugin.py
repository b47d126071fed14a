"""The pytest plugin, which makes a test of each check of a `Conformance` in a test module.

An entry point of the package loads it; where plugins are not loaded automatically, use `-p voicepipe.testing.plugin`.
A test's id has the module's variable for the adapter and the name of the check, such as
`test_parrot.py::test_parrot::a_reply_ends_once`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from voicepipe.testing.conformance import Check, Conformance, Failed, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> ConformanceTests | None:
    """Collects each `Conformance` in a test module or class, whatever the name of its variable."""
    if not isinstance(obj, Conformance):
        return None
    tests: ConformanceTests = ConformanceTests.from_parent(collector, name=name, conformance=obj)
    return tests


class ConformanceTests(pytest.Collector):
    """The collector of an adapter's checks."""

    def __init__(self, *, conformance: Conformance, **known: Any) -> None:
        super().__init__(**known)
        self._conformance = conformance

    def collect(self) -> Iterator[pytest.Item]:
        """Yields a test for each check."""
        for check in self._conformance.checks:
            yield CheckTest.from_parent(self, name=check.name, conformance=self._conformance, check=check)


class CheckTest(pytest.Item):
    """The test of one check of an adapter."""

    def __init__(self, *, conformance: Conformance, check: Check, **known: Any) -> None:
        super().__init__(**known)
        self.obj = self.runtest  # pytest-trio inspects it, and ignores what is not async
        self._conformance, self._check = conformance, check

    def runtest(self) -> None:
        """Runs the check with `trio.run`."""
        try:
            trio.run(self._conformance.run, self._check)
        except Skipped as skipped:
            pytest.skip(str(skipped))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Returns the failure with its meaning and remedy; a traceback only for an exception that is no verdict."""
        if not isinstance(excinfo.value, Failed):
            return super().repr_failure(excinfo, style)
        return f"{self._conformance.subject}: {excinfo.value.of(self._check.name, self._check.means)}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Returns the test's file and its name in reports."""
        return self.path, None, f"{self.parent.name if self.parent else ''}::{self.name}"
