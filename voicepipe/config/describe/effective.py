"""The effective configuration: every setting with its value, as plain data without secrets."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from voicepipe.components.labels import ROLES
from voicepipe.components.secrets import names_a_secret
from voicepipe.config.describe.key_shapes import without_keys
from voicepipe.config.identity import Hidden

if TYPE_CHECKING:
    from voicepipe.components.secrets import Secrets
    from voicepipe.config.settings import PipelineSettings, SetConfig

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
"""`user:password` in a URL (RFC 3986, 3.2.1)."""


class Shown(str):
    """The text that is shown in place of a secret value; the value is kept for comparisons in this process."""

    __slots__ = ("hidden",)
    hidden: str

    def __new__(cls, shown: str, hidden: str) -> Self:
        """Makes a text that reads as `shown`, and keeps the value in `hidden`."""
        text = super().__new__(cls, shown)
        text.hidden = hidden
        return text


def effective(config: SetConfig, *, texts: bool = False) -> dict[str, Any]:
    """Returns a configuration as it is in effect: defaults filled in, references resolved, and without secrets.

    It consists of mappings, lists, text, numbers, booleans and None, so it can be written as JSON. The keys are those
    of the YAML file, without `components` and `options`: each of a pipeline's roles is the list of its alternatives, in
    failover order, of `{"name", "adapter", "model", "options"}`. What came from `${...}` is as it was written. A secret
    that stands in the file is `***`, also where it is repeated, and so is text that looks like a key of a vendor. A
    file is `{"file", "sha256"}` and a directory `{"directory", "fingerprint"}`.

    Args:
        config: from `load_config`.
        texts: whether a prompt that is read from a file has its `text` beside the `file`.

    """
    data: dict[str, Any] = _plain(comparable(config))
    if texts:
        concealing = _Concealing(_keys_of(config))
        for name, settings in config.pipelines.items():
            if isinstance(prompt := data["pipelines"][name]["prompt"], dict):
                prompt["text"] = concealing.text(str.__str__(settings.prompt))
    return data


def comparable(config: SetConfig) -> dict[str, Any]:
    """Returns `effective(config)` with a `Shown` for each secret, so that two configurations can be compared."""
    written = pickle.loads(config.written)  # noqa: S301 - `load_config` wrote it
    pipelines = written.pop("pipelines")
    shared = {key: _shown(value, key if key == "tools" else "") for key, value in written.items()}
    data = shared | {
        "pipelines": {name: _pipeline(settings, pipelines[name]) for name, settings in config.pipelines.items()}
    }
    concealed: dict[str, Any] = _Concealing(_keys_of(config))(data)
    return concealed


def _keys_of(config: SetConfig) -> Secrets:
    return next(iter(config.pipelines.values())).secrets.keys  # a file's pipelines share their secrets


class _Concealing:
    """Conceals keys that are quoted in other texts, such as prompts, and texts that look like keys."""

    def __init__(self, keys: Secrets) -> None:
        self._keys = keys
        self._known: dict[str, str] = {}  # most texts are in each pipeline

    def __call__(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self(item) for key, item in value.items()}
            case list():
                return [self(item) for item in value]
            case str():
                text = self.text(str(value))
                if text != value:
                    return Shown(text, value.hidden if isinstance(value, Shown) else value)
        return value

    def text(self, text: str) -> str:
        """Returns a text without keys."""
        if (known := self._known.get(text)) is None:
            known = self._known[text] = without_keys(self._keys.conceal(text))
        return known


def masked(name: str, text: str) -> str:
    """Returns the text of an option, or `***` if its name or a password in it says that it is secret."""
    if text and names_a_secret(name):
        return "***"
    return _USER_INFO.sub("***", text) if "://" in text else text


def _pipeline(settings: PipelineSettings, written: Mapping[str, Any]) -> dict[str, Any]:
    components = {
        role: [
            {
                "name": component.name,
                "adapter": component.adapter,
                "model": component.model,
                "options": {name: _shown(value, name) for name, value in normal["options"].items()},
            }
            for component, normal in zip(settings.role(role), written[role], strict=True)
        ]
        for role in ROLES
    }
    return components | {key: _shown(value) for key, value in written.items() if key not in components}


def _shown(value: Any, option: str = "") -> Any:
    """Returns a value in normal form without secrets; in options, all that is below a secret's name is secret too."""
    match value:
        case Hidden():
            return Shown(value["secret"], value.value)
        case Mapping():
            secret = option if names_a_secret(option) else ""
            return {key: _shown(item, secret or (option and key)) for key, item in value.items()}
        case list() | tuple():
            return [_shown(item, option) for item in value]
        case str():
            text = masked(option, value) if option else value
            return text if text == value else Shown(text, value)
    number = isinstance(value, bool | int | float) and math.isfinite(value)
    return value if number or value is None else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Shown) else value
