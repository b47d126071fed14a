"""The matrix of faults: every fault, in every role, at every moment: `python tests/faults/matrix.py [--role tts] ...`.

Prints for each what the caller noticed: how long the longest wait for something useful was, and how long it would
have been anyway; what was heard twice, what was lost, and what was done about it. All of it on the virtual clock.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrs import frozen
from providers import BUDGETS_S, FAULTS, MOMENTS, ROLES, Result, run_cell

OWN_S = {"stt": 0.4, "llm": 2.0, "tts": 0.4}
"""What the spare one takes by itself, beyond what the preferred one would have: to say again what was said already,
for a language model that does so."""

A_WORD_MS = 360
"""More speech than that, or less, is a word too many or too few: the one that a voice breaks off in counts half."""


@cache
def undisturbed(moment: str) -> Result:
    """The same call with everything well."""
    return run_cell(None, None, moment)


@frozen
class Cell:
    """What a fault came to."""

    fault: str
    role: str
    moment: str
    result: Result

    @property
    def usual(self) -> Result:
        return undisturbed(self.moment)

    @property
    def limit_s(self) -> float:
        """How long the caller may wait."""
        return self.usual.waited_s + BUDGETS_S[self.role] + OWN_S[self.role]

    @property
    def extra_ms(self) -> float:
        """How much more speech there was than was said, compared with the undisturbed call."""
        return self.result.too_much_ms - self.usual.too_much_ms

    @property
    def repeated(self) -> str:
        return f"{self.extra_ms:.0f} ms" if self.extra_ms > A_WORD_MS else "-"

    @property
    def lost(self) -> str:
        """What the caller said and was not answered, or was not told."""
        there, here = self.usual.conversation, self.result.conversation
        missing = [heard for heard, _ in there if heard not in [one for one, _ in here]]
        if self.moment != "barge-in":
            missing += [said for _, said in there if said not in [one for _, one in here]]
        if self.extra_ms < -A_WORD_MS:
            missing.append(f"{-self.extra_ms:.0f} ms of speech")
        return "; ".join(missing) or "-"

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        result = self.result
        here = result.conversation
        checks = {
            f"waited {result.waited_s:.2f} s, more than {self.limit_s:.2f} s": result.waited_s > self.limit_s,
            "something was said twice": self.repeated != "-",
            "something was lost": self.lost != "-",
            "the caller was heard twice": len({heard for heard, _ in here}) != len(here),
            "the caller was heard wrong": [heard for heard, _ in here]
            != [heard for heard, _ in self.usual.conversation],
            "the call did not last": result.outcome != "caller_hung_up",
            "nothing in the record says so": bool(result.rungs) != bool(result.reasons),
        }
        return [what for what, is_so in checks.items() if is_so]

    def __str__(self) -> str:
        usual, waited = f"{self.usual.waited_s:.2f}", f"{self.result.waited_s:.2f}"
        rungs = ", ".join(rung.removeprefix(f"{self.role} ") for rung in self.result.rungs) or "nothing"
        where = f"{self.fault:21} {self.role:4} {self.moment:10}"
        line = f"{where} {usual:>6} {waited:>7}  {self.repeated:9} {self.lost:5} {rungs}"
        return "\n".join([line, *(f"    WRONG: {what}" for what in self.wrong)])


HEADER = f"{'fault':21} {'role':4} {'moment':10} {'usual':>6} {'waited':>7}  {'repeated':9} {'lost':5} what was done"


def cell(fault: str, role: str, moment: str) -> Cell:
    """Runs one."""
    return Cell(fault, role, moment, run_cell(role, fault, moment))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", choices=ROLES, action="append", help="only this one; may be given several times")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="likewise")
    parser.add_argument("--moment", choices=MOMENTS, action="append", help="likewise")
    options = parser.parse_args()
    wanted = [
        (fault, role, moment)
        for role in options.role or ROLES
        for fault in options.fault or FAULTS
        for moment in options.moment or MOMENTS
    ]
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it shows tracebacks of what is done to it
    _say(f"{len(wanted)} calls; seconds are the caller's: of silence, while something was due\n\n{HEADER}")
    wrong = 0
    worst: dict[str, float] = {}
    for fault, role, moment in wanted:
        one = cell(fault, role, moment)
        wrong += bool(one.wrong)
        worst[role] = max(worst.get(role, 0.0), one.result.waited_s - one.usual.waited_s)
        _say(str(one))
    late = ", ".join(f"{role} {seconds:.2f} s" for role, seconds in worst.items())
    _say(f"\n{len(wanted) - wrong} of {len(wanted)} as they should be; the longest that a fault added: {late}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
