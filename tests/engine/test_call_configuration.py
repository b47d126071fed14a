"""`call ID --config` and `--diff` show what a call ran on, and `versions` what was served, from the records alone."""

from __future__ import annotations

import json

import pytest
import yaml
from recording import RecordedSet, pipeline
from sqlalchemy import insert

from reference_engine.cli import main
from reference_engine.control import client
from reference_engine.errors import EngineError
from reference_engine.records import tables
from reference_engine.records.version_recording import configuration_row
from tests.engine.recorded_calls import BEGAN, RUN, add_call, add_run, minutes, open_sqlite
from voicepipe import effective_config, load_config

CALL = "5f3c9a72-0001"


class Served:
    """A set whose versions are in a database, with a call on the first one."""

    def __init__(self, directory):
        self.recorded = RecordedSet(directory)
        self.prompt = directory / "prompt.md"
        self.path = directory / "calls.db"
        self.configs = []
        with open_sqlite(self.path) as connection:
            add_run(connection)
            self.serve(connection, "Be brief.\nBe kind.\n", "a", 8)
            digest = self.configs[0].digest
            add_call(connection, call_id=CALL, digest=digest, version=1, turns=[("Hi", "Hello")])
            add_call(connection, call_id="0aa1-unknown", digest="f" * 64)
            self.serve(connection, "Be brief.\nBe polite.\n", "b", 12)
            connection.commit()

    def serve(self, connection, prompt, voice, longest):
        """Serves another version."""
        self.prompt.write_text(prompt)
        night = pipeline(prompt="Good night.", tts=voice)
        sections = {"limits": {"max_call_minutes": longest}}
        own = pipeline(prompt={"file": "prompt.md"}, tts=voice, greeting="Hello.")
        self.recorded.write(default=own, night=night | {"selectable": True}, sections=sections)
        config = load_config(self.recorded.path, registry=self.recorded.registry)
        self.configs.append(config)
        number = len(self.configs)
        served = BEGAN + minutes(number)
        connection.execute(insert(tables.configurations).values(**configuration_row("main", config, served)))
        row = {"engine": "tokyo", "set": "main", "version": number, "digest": config.digest, "run": RUN}
        row |= {"served": served, "trigger": "signal", "rolled_back_to": None, "plan": f"the plan of {number}"}
        connection.execute(insert(tables.versions).values(**row))


@pytest.fixture
def served(tmp_path):
    return Served(tmp_path)


def no_engine(control, _method, _path):
    raise EngineError(f"no engine is answering at {control}")


@pytest.fixture
def shown(served, capsys, monkeypatch):
    """Runs a command on the database, and returns its exit status with what it wrote; no engine runs."""
    monkeypatch.setattr(client, "ask", no_engine)

    def run(*arguments):
        status = main([*arguments, "--records", f"sqlite://{served.path}"])
        return status, *capsys.readouterr()

    return run


def test_what_a_call_ran_on_is_yaml_with_its_own_pipeline(shown, served):
    status, out, err = shown("call", CALL, "--config")
    assert (status, err) == (0, "")
    data = yaml.safe_load(out)
    assert next(iter(data)) == "pipelines"
    assert list(data["pipelines"]) == ["default"]
    assert data["pipelines"]["default"]["prompt"]["text"] == "Be brief.\nBe kind."
    assert "text: |-\n" in out
    assert data["limits"]["max_call_minutes"] == 8
    comments = [line for line in out.splitlines() if line.startswith("# ")]
    assert "pipeline default of main, version 1 of engine tokyo, voicepipe 1.0" in comments[1]
    assert served.configs[0].digest in comments[2]
    assert len([line for line in comments if "prompt.md: " in line or "ai-agent.yaml: " in line]) == 2
    _, out, _ = shown("call", CALL, "--config", "--whole")
    assert list(yaml.safe_load(out)["pipelines"]) == ["default", "night"]


def test_the_difference_is_to_the_latest_version_if_no_engine_answers(shown):
    status, out, err = shown("call", CALL, "--diff")
    assert status == 0
    assert "no engine is answering" in err
    assert "so this compares with the latest version in the database" in err
    lines = out.splitlines()
    assert lines[0].startswith(
        f"call {CALL} (main, version 1) -> the latest version in the database (main, version 2, "
    )
    assert "  - tts recorded (a), for default" in lines
    assert "  + tts recorded (b), for default" in lines
    assert "    prompt.file: prompt.md, with other content" in lines
    assert "  limits.max_call_minutes: 8 -> 12" in lines
    assert {"  -Be kind.", "  +Be polite."} <= set(lines)
    assert "night" not in out
    assert "night" in shown("call", CALL, "--diff", "--whole")[1]


def test_the_difference_is_to_what_the_engine_serves(shown, served, monkeypatch):
    answers = {
        "/sets": {"sets": [{"set": "main", "version": 7}]},
        "/sets/main/versions/7": {"digest": served.configs[0].digest, "config": effective_config(served.configs[0])},
    }
    monkeypatch.setattr(client, "ask", lambda _control, _method, path: (200, answers[path]))
    status, out, err = shown("call", CALL, "--diff")
    assert (status, err) == (0, "")
    assert out == f"call {CALL} (main, version 1) -> what serves now (main, version 7): no difference\n"
    answers["/sets/main/versions/7"] = {"digest": "0" * 64, "config": effective_config(served.configs[1])}
    _, out, _ = shown("call", CALL, "--diff")  # which the database does not have, so it knows no text of a prompt
    assert "prompt.file: prompt.md, with other content" in out
    answers["/sets"] = {"sets": []}
    assert "serves no set 'main'" in shown("call", CALL, "--diff")[2]


def test_what_is_not_kept_is_said(shown, tmp_path, capsys):
    status, _, err = shown("call", "0aa1-unknown", "--config")
    assert status == 1
    assert f"no configuration with the digest {'f' * 64}" in err
    with pytest.raises(SystemExit):
        main(["call", CALL, "--config", "--diff", "--records", f"sqlite://{tmp_path / 'calls.db'}"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_file_of_records_has_no_configurations(tmp_path, capsys):
    path = tmp_path / "calls.jsonl"
    path.write_text("")
    assert main(["versions", "--records", str(path)]) == 1
    assert "a database keeps them" in capsys.readouterr().err


def test_versions_are_listed_the_latest_first_with_what_they_changed(shown, served):
    status, out, _ = shown("versions")
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[:3] for line in lines[1::2]] == [["main", "2", "tokyo"], ["main", "1", "tokyo"]]
    assert [line.strip() for line in lines[2::2]] == ["the plan of 2", "the plan of 1"]
    _, out, _ = shown("versions", "main", "--limit", "1", "--format", "json")
    (version,) = json.loads(out)["versions"]
    assert (version["version"], version["digest"], version["software"]) == (2, served.configs[1].digest, "1.0")
    assert json.loads(shown("versions", "other", "--format", "json")[1]) == {"versions": []}
    assert json.loads(shown("versions", "--engine", "osaka", "--format", "json")[1]) == {"versions": []}
