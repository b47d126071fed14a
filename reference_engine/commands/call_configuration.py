"""What a call ran on, for the command `call`: its configuration as YAML, and how that differs from what serves now."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reference_engine.commands.asking import add_control_option
from reference_engine.errors import EngineError
from reference_engine.records.differences import ComparedVersion, difference_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from reference_engine.records.history import CallDetail, StoredConfiguration
    from reference_engine.records.reading import Reader
    from reference_engine.settings.records_place import RecordsPlace

_DEADLINE_S = 30.0


def add_configuration_options(command: ArgumentParser) -> None:
    """Adds `--config`, `--diff` and `--whole`, and the control socket that `--diff` asks."""
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--config", action="store_true", help="print what the call ran on, as YAML without secrets")
    shown.add_argument("--diff", action="store_true", help="print what differs between that and what serves now")
    command.add_argument(
        "--whole", action="store_true", help="with --config or --diff: all pipelines of its set, not only its own"
    )
    add_control_option(command)


def show_configuration(arguments: Namespace, place: RecordsPlace, call: CallDetail) -> int:
    """Prints what a call ran on, or how that differs from what serves now; returns 0.

    Raises:
        EngineError: the records are in no database, it can't be read, or has no such configuration.

    """
    if not place.is_database:
        raise EngineError(f"{place} has no configurations: a database keeps them (records: sqlite:///PATH)")
    from reference_engine.records.reading import Reader  # noqa: PLC0415 - only what the command needs

    reader = Reader(place, deadline_s=_DEADLINE_S)
    summary = call.summary
    try:
        ran_on = _configuration(reader, summary.digest)
        if ran_on is None:
            raise EngineError(
                f"{place} has no configuration with the digest {summary.digest}: it keeps those of versions that served"
                " while `records` named it"
            )
        if arguments.diff:
            now = _serving(arguments, reader, call)
            before = ComparedVersion(
                f"call {summary.call_id} ({summary.set}, version {summary.version})", ran_on.digest, ran_on.config
            )
            sys.stdout.write("".join(difference_of(before, now, None if arguments.whole else summary.pipeline)))
        else:
            sys.stdout.write(_as_yaml(call, ran_on, whole=arguments.whole))
    finally:
        reader.close()
    return 0


def _configuration(reader: Reader, digest: str) -> StoredConfiguration | None:
    from reference_engine.records.provenance import find_configuration  # noqa: PLC0415 - loads SQLAlchemy
    from reference_engine.records.reading import RecordsUnavailable  # noqa: PLC0415 - as above

    found = reader.read(lambda connection: find_configuration(connection, digest))
    if isinstance(found, RecordsUnavailable):
        raise EngineError(found.problem)
    return found


def _as_yaml(call: CallDetail, ran_on: StoredConfiguration, *, whole: bool) -> str:
    import yaml  # noqa: PLC0415 - only what the command needs

    summary = call.summary
    config = dict(ran_on.config)
    pipelines = dict(config.pop("pipelines"))
    own = {summary.pipeline: pipelines.pop(summary.pipeline)} if summary.pipeline in pipelines else {}
    others = {name: value for name, value in pipelines.items() if name not in own} if whole else {}
    ran = f"pipeline {summary.pipeline} of {summary.set}, version {summary.version} of engine {summary.engine}"
    head = [
        f"call {summary.call_id}, {summary.began.astimezone():%Y-%m-%d %H:%M:%S %z}",
        f"{ran}, voicepipe {call.software}",
        f"digest {ran_on.digest}, first served {ran_on.first_served.astimezone():%Y-%m-%d %H:%M:%S %z}",
        *(f"{path}: {hashed or 'a secret, or a directory'}" for path, hashed in ran_on.files.items()),
    ]
    comments = ["# " + "".join(each if each.isprintable() else "?" for each in line) for line in head]

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(str, _represent_text)
    dump = {"pipelines": own | others, **config}
    text: str = yaml.dump(dump, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*comments, text])


def _represent_text(dumper: Any, text: str) -> Any:
    """Writes a text of several lines as a block, so that a prompt can be read."""
    style = "|" if "\n" in text and text.strip() == text.rstrip("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _serving(arguments: Namespace, reader: Reader, call: CallDetail) -> ComparedVersion:
    """Returns the version that the call's set serves now: the running engine's, or else the latest in the database."""
    from reference_engine.records.provenance import find_versions  # noqa: PLC0415 - loads SQLAlchemy

    name = call.summary.set
    try:
        return _asked(arguments, reader, name)
    except EngineError as error:
        sys.stderr.write(f"{error}\nso this compares with the latest version in the database\n")
    found = reader.read(
        lambda connection: find_versions(connection, engine=call.summary.engine, set_name=name, limit=1)
    )
    latest = found[0] if isinstance(found, tuple) and found else None
    kept = None if latest is None else _configuration(reader, latest.digest)
    if latest is None or kept is None:
        raise EngineError(f"the database has no version of the set {name!r} of engine {call.summary.engine}")
    when = f"served from {latest.served.astimezone():%Y-%m-%d %H:%M:%S}"
    return ComparedVersion(
        f"the latest version in the database ({name}, version {latest.version}, {when})", kept.digest, kept.config
    )


def _asked(arguments: Namespace, reader: Reader, name: str) -> ComparedVersion:
    from reference_engine.control.client import ask  # noqa: PLC0415 - httpx takes 0.2 s to import

    _status, body = ask(arguments.control, "GET", "/sets")
    version = next((shown["version"] for shown in body.get("sets", ()) if shown["set"] == name), None)
    if version is None:
        raise EngineError(f"the engine at {arguments.control} serves no set {name!r}")
    status, body = ask(arguments.control, "GET", f"/sets/{quote(name, safe='')}/versions/{version}")
    if status != HTTPStatus.OK:
        raise EngineError(
            f"the engine at {arguments.control} does not show version {version}: {body.get('error', status)}"
        )
    kept = _configuration(reader, body["digest"])  # it has the texts of prompts
    config = body["config"] if kept is None else kept.config
    return ComparedVersion(f"what serves now ({name}, version {version})", body["digest"], config)
