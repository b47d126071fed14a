"""The pytest plugin: what `voicepipe.testing.conformance` says of an adapter becomes tests, one for each check.

It comes with the package, by an entry point; where plugins are not loaded by themselves, `-p voicepipe.testing.plugin`.
A test's name is the module's name for the adapter and the check's: `test_parrot.py::test_parrot::a_reply_ends_once`.
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
    """Collects every `Conformance` in a test module, whatever its name."""
    if not isinstance(obj, Conformance):
        return None
    tests: ConformanceTests = ConformanceTests.from_parent(collector, name=name, conformance=obj)
    return tests


class ConformanceTests(pytest.Collector):
    """An adapter's checks."""

    def __init__(self, *, conformance: Conformance, **known: Any) -> None:
        super().__init__(**known)
        self._conformance = conformance

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each check."""
        for check in self._conformance.checks:
            yield CheckTest.from_parent(self, name=check.name, conformance=self._conformance, check=check)


class CheckTest(pytest.Item):
    """One check of one adapter."""

    def __init__(self, *, conformance: Conformance, check: Check, **known: Any) -> None:
        super().__init__(**known)
        self.obj = self.runtest  # pytest-trio looks at it, and leaves alone what is not async
        self._conformance, self._check = conformance, check

    def runtest(self) -> None:
        """Runs the check in a trio loop of its own."""
        try:
            trio.run(self._conformance.run, self._check)
        except Skipped as skipped:
            pytest.skip(str(skipped))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What happened, what it means, how to mend it; a traceback only of what is no verdict."""
        if not isinstance(excinfo.value, Failed):
            return super().repr_failure(excinfo, style)
        return f"{self._conformance.subject}: {excinfo.value.of(self._check.name, self._check.means)}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where it stands, and what it is called."""
        return self.path, None, f"{self.parent.name if self.parent else ''}::{self.name}"
