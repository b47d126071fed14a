"""A sampling profile of this process, as text and as a flame graph: no root, no other process, nothing to install.

The kernel interrupts the process each millisecond of CPU time that it uses (or as often as it can: many a kernel ticks
every 4 ms), and the interrupted stack is counted.
"""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import contextmanager
from html import escape
from pathlib import Path
from zlib import crc32

INTERVAL_S = 0.001


@contextmanager
def sampled():
    """Counts stacks until it is left: each from the outermost function in, as `module:function`."""
    stacks = Counter()

    def count(_number, frame):
        stack = []
        while frame is not None:
            stack.append(f"{module_of(frame.f_code.co_filename)}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    signal.signal(signal.SIGPROF, count)
    # Else trio would wake up for each sample, and the profile would be full of that.
    before = signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    try:
        yield stacks
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.set_wakeup_fd(before)


def module_of(file):
    """`voicepipe.calls.replies.playout`, `trio._core._run`."""
    parts = Path(file).with_suffix("").parts
    for root in ("site-packages", "benchmarks", "main"):
        if root in parts:
            return ".".join(parts[len(parts) - parts[::-1].index(root) :])
    for package in ("voicepipe", "python3"):
        at = [number for number, part in enumerate(parts) if part.startswith(package)]
        if at:
            return ".".join(parts[at[-1] + (package == "python3") :])
    return ".".join(parts[-1:])


def text(stacks):
    """By module, by function with what it calls, and by function alone; in percent."""
    total = sum(stacks.values())
    modules, functions, within = Counter(), Counter(), Counter()
    for stack, count in stacks.items():
        modules[stack[-1].partition(":")[0]] += count
        functions[stack[-1]] += count
        for function in set(stack):
            within[function] += count
    yield f"{total} samples: one a ms of CPU time, or a tick of the kernel if that is longer"
    for title, counts in (
        ("by module", modules),
        ("by function", functions),
        ("by function, with what it calls", within),
    ):
        yield f"\n{title}"
        for name, count in counts.most_common(40):
            yield f"{100 * count / total:6.1f} %  {name}"


def by_group(folded, groups, others="others"):
    """A table of `profile.folded`: the share of each group of modules alone, and with whatever it calls.

    `groups` has how the names of a group's modules begin; the first that fits counts. What no group has counts alone as
    the group that called it.
    """

    def group_of(function):
        module = function.partition(":")[0].removeprefix("<attrs generated methods ")
        for group, names in groups.items():
            if any(module == name or module.startswith(f"{name}.") for name in names):
                return group
        return others

    alone, within, total = Counter(), Counter(), 0
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        found = [group_of(function) for function in stack.split(";")]
        total += int(count)
        alone[next((group for group in reversed(found) if group != others), others)] += int(count)
        within.update(dict.fromkeys(found, int(count)))
    yield "| part | alone | with what it calls |"
    yield "| --- | --- | --- |"
    for group, count in alone.most_common():
        yield f"| {group} | {100 * count / total:.1f} % | {100 * within[group] / total:.1f} % |"


def flame_graph(stacks):
    """An SVG: the width of a box is its share of the time, what it calls stands on it; a pointer shows the numbers."""
    width, height = 1600, 17
    boxes, deepest = [], 0
    total = sum(stacks.values())

    def draw(rows, depth, left):
        nonlocal deepest
        deepest = max(deepest, depth)
        by_name = {}
        for stack, count in rows:
            if len(stack) > depth:
                by_name.setdefault(stack[depth], []).append((stack, count))
        for name, inside in sorted(by_name.items()):
            count = sum(number for _, number in inside)
            wide = width * count / total
            if wide >= 1:
                boxes.append((depth, left, wide, name, count))
                draw(inside, depth + 1, left)
            left += wide

    draw(list(stacks.items()), 0, 0.0)
    tall = (deepest + 1) * height
    size = f'width="{width}" height="{tall}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="11">'
    for depth, left, wide, name, count in boxes:
        hue = crc32(name.partition(":")[0].encode()) % 360
        label = escape(name[: int(wide / 6.7)]) if wide > 30 else ""
        top = tall - (depth + 1) * height
        yield (
            f'<g><title>{escape(name)}: {100 * count / total:.1f} %</title><rect x="{left:.1f}" y="{top}" '
            f'width="{wide:.1f}" height="{height - 1}" fill="hsl({hue},60%,75%)"/>'
            f'<text x="{left + 2:.1f}" y="{top + 12}">{label}</text></g>'
        )
    yield "</svg>"


def write(stacks, folder):
    """Writes `profile.txt`, `profile.folded` and `profile.svg` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.txt").write_text("\n".join(text(stacks)) + "\n")
    (folder / "profile.folded").write_text("".join(f"{';'.join(stack)} {count}\n" for stack, count in stacks.items()))
    (folder / "profile.svg").write_text("\n".join(flame_graph(stacks)))
