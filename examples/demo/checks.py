"""What has to be true for the demonstration to have shown anything."""

from __future__ import annotations

from attrs import define, field, frozen


@frozen
class Check:
    """One expectation, and whether it came true."""

    about: str
    """What it is about: `call one`, `reload`, ..."""
    expected: str
    """What was expected, as a sentence without its subject."""
    true: bool
    """Whether it came true."""
    found: str = ""
    """What was found."""

    def __str__(self) -> str:
        found = f" [{self.found}]" if self.found else ""
        return f"{'ok  ' if self.true else 'FAIL'}  {self.about}: {self.expected}{found}"


@define
class Checks:
    """All expectations so far."""

    done: list[Check] = field(factory=list)

    def expect(self, about: str, expected: str, true: object, found: object = "") -> None:
        """Notes an expectation and whether it came true."""
        self.done.append(Check(about, expected, bool(true), str(found)))

    @property
    def failed(self) -> list[Check]:
        """Those that did not come true."""
        return [check for check in self.done if not check.true]
