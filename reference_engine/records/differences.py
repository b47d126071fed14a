"""How the configuration that a call ran on differs from another one, in words: for the command `call` and its page."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe import describe_changes

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class ComparedVersion:
    """One version, as it is compared."""

    name: str
    """What the output calls it."""
    digest: str
    """Its digest."""
    config: Mapping[str, Any]
    """Its effective configuration."""


def difference_of(before: ComparedVersion, now: ComparedVersion, pipeline: str | None) -> Iterator[str]:
    """Yields what is different, as text with line ends; the prompts line by line, where their texts are known.

    Args:
        before: what the call ran on.
        now: what it is compared with.
        pipeline: the pipeline that matters; None: all.

    """
    old, new = (_only(_without_texts(version.config), pipeline) for version in (before, now))
    same = before.digest == now.digest
    yield describe_changes(old, new, names=(before.name, now.name), same_digest=same or pipeline is not None)
    was, is_now = _texts(before.config), _texts(now.config)
    for name in was:
        if name in is_now and pipeline in {None, name} and was[name] != is_now[name]:
            changed = difflib.unified_diff(was[name].splitlines(), is_now[name].splitlines(), lineterm="", n=1)
            yield f"\nprompt of {name}:\n"
            yield from (f"  {line}\n" for line in list(changed)[2:])


def _texts(config: Mapping[str, Any]) -> dict[str, str]:
    prompts = {name: pipeline["prompt"] for name, pipeline in config["pipelines"].items()}
    return {
        name: prompt["text"] if isinstance(prompt, Mapping) else prompt
        for name, prompt in prompts.items()
        if not isinstance(prompt, Mapping) or "text" in prompt
    }


def _without_texts(config: Mapping[str, Any]) -> dict[str, Any]:
    def plain(prompt: Any) -> Any:
        return {"file": prompt["file"]} if isinstance(prompt, Mapping) else prompt

    pipelines = {
        name: {**pipeline, "prompt": plain(pipeline["prompt"])} for name, pipeline in config["pipelines"].items()
    }
    return {**config, "pipelines": pipelines}


def _only(config: dict[str, Any], pipeline: str | None) -> dict[str, Any]:
    """Returns a configuration with one of its pipelines; with all if `pipeline` is None."""
    if pipeline is None:
        return config
    return config | {"pipelines": {name: own for name, own in config["pipelines"].items() if name == pipeline}}
