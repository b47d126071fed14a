"""`voicepipe diff`: what would change for calls, between two files or against a running engine."""

from __future__ import annotations

import json
import socketserver
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe import cli, effective_config, load_config
from voicepipe.config import load

CORPUS = Path(__file__).parent / "config"
TEXT = """\
pipelines:
  default:
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
    tts: [{type: cloud, model: aura, api_key: "${API_KEY}"}, voice]
  sales:
    stt: {type: ears, model: files/model}
    llm: {type: chat, model: gpt, api_key: hunter2}
    tts: voice
    prompt: {file: files/prompt.md}
  never:
    stt: {type: ears, model: files/model, rate: 16000}
    llm: {type: script, script: files/script.yaml}
    tts: voice
routes:
  - {when: {called: "+1800*"}, pipeline: sales}
"""


@pytest.fixture(autouse=True)
def _adapters(monkeypatch):
    monkeypatch.setattr(load, "installed", lambda: REGISTRY)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes `NAME.yaml`, the text above with replacements: `write("new", ("aura", "nova"))`."""
    copytree(CORPUS / "good/files", tmp_path / "files")
    monkeypatch.chdir(tmp_path)

    def write(name, *replacements):
        text = TEXT
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        Path(f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    write("old")
    return write


def diff(capsys, *arguments, status=1):
    assert cli.main(["diff", *arguments]) == status
    output = capsys.readouterr()
    assert ENVIRON["API_KEY"] not in output.out + output.err
    assert "hunter2" not in output.out + output.err
    return output.out if status < 2 or status == 78 else output.err


def told(capsys, write, *replacements):
    """The lines of a difference, without its head and its foot."""
    lines = diff(capsys, "old.yaml", write("new", *replacements)).splitlines()
    assert lines[0] == "old.yaml -> new.yaml, from the next call on:"
    assert lines[-2:] == ["", "No restart is needed."]
    return [line for line in lines[1:-2] if line]


KEPT = {
    "stt ears (model)",
    "llm script",
    "tts cloud (aura)",
    "tts voice",
    "llm chat (gpt)",
}


def keeps(*less):
    return [f"  keeps   {one}" for one in KEPT - set(less)]


def test_the_same(write, capsys):
    same = write("new", ("pipelines:\n", "# a comment\npipelines:\n\n"))
    assert diff(capsys, "old.yaml", same, status=0) == "old.yaml -> new.yaml: no difference\n"


def test_another_option(write, capsys):
    lines = told(capsys, write, ("aura", "nova"))
    assert lines[:3] == [
        "components:",
        "  opens   tts cloud (nova), for default",
        "  closes  tts cloud (aura), with the last call that uses it",
    ]
    assert sorted(lines[3:7]) == sorted(keeps("tts cloud (aura)"))
    assert lines[7:] == ["pipelines:", "  changes  default", "      tts[0].model: aura -> nova"]


MODELS = "{type: chat, model: gpt, api_key: hunter2}", "{type: script, script: files/script.yaml}"
TWO_VOICES = "    tts: voice\n    prompt", "    tts: [voice, {type: voice, voice: de}]\n    prompt"
TOKEN = '"${API_KEY}"}', '"${API_KEY}", headers: {X-Token: hunter2}}'


def more(line):
    return "    prompt:", f"    {line}\n    prompt:"


CHANGES = {
    "a prompt": (("prompt: {file: files/prompt.md}", "prompt: Hi."), "sales: prompt: files/prompt.md -> Hi."),
    "turns": (more("turns: {barge_in: {min_words: 2}}"), "sales: turns.barge_in.min_words: 0 -> 2"),
    "a greeting": (more('greeting: " Hi\\n there"'), 'sales: greeting: nothing -> " Hi\\n there"'),
    "tools": (more("tools: [transfer]"), 'sales: tools: ["hang_up"] -> ["transfer"]'),
    "what then": (more("on_failure: {then: {transfer: 9}}"), 'sales: on_failure.then: dialplan -> {"transfer": "9"}'),
    "an alternative more": (TWO_VOICES, "sales: tts[1]: nothing -> voice"),
    "an alternative less": ((", voice]", "]"), "default: tts[1]: voice -> nothing"),
    "another adapter": (MODELS, "sales: llm: chat -> script"),
    "a variable": (("${API_KEY}", "${WORD}-${API_KEY}"), "default: tts[0].api_key: ${API_KEY} -> ${WORD}***${API_KEY}"),
    "a secret": (("hunter2", "hunter22"), "sales: llm.api_key: ***, with a different value that is not shown"),
    "what looks like one": (TOKEN, "default: tts[0].headers.X-Token: nothing -> ***"),
}


@pytest.mark.parametrize(("replacement", "line"), CHANGES.values(), ids=CHANGES)
def test_what_changes_in_a_pipeline(write, capsys, replacement, line):
    lines = told(capsys, write, replacement)
    name, _, change = line.partition(": ")
    assert lines[lines.index("pipelines:") :] == ["pipelines:", f"  changes  {name}", f"      {change}"]


def test_a_component_that_only_has_another_name_is_kept(write, capsys):
    new = (
        ("pipelines:\n", "components: {mouth: voice}\npipelines:\n"),
        ("    tts: voice\n    prompt", "    tts: mouth\n    prompt"),
    )
    lines = told(capsys, write, *new)
    assert not [line for line in lines if "opens" in line or "closes" in line]
    assert lines[-2:] == ["  changes  sales", "      tts: voice -> mouth, adapter voice"]


def test_the_content_of_a_file(write, capsys):
    new = write("new")
    old = effective_config(load_config(Path("old.yaml")))
    Path("files/script.yaml").write_text("start: x\nstates: {x: changed}\n")
    with engine(lambda path: answer(path, old)) as control:
        lines = diff(capsys, new, "--engine", control).splitlines()
    assert "      llm.script: files/script.yaml, with different content" in lines
    assert "  opens   llm script, for default" in lines


def test_pipelines_come_and_go(write, capsys):
    lines = told(capsys, write, ("pipeline: sales", "pipeline: never"))
    assert lines[0] == "components:"
    assert "  opens   stt ears (model), for never" in lines
    assert "  closes  llm chat (gpt), with the last call that uses it" in lines
    assert lines[lines.index("pipelines:") :] == [
        "pipelines:",
        "  adds     never",
        "  removes  sales",
        "settings:",
        "  routes[0].pipeline: sales -> never",
    ]


def test_pipelines_that_no_call_gets(write, capsys):
    lines = told(capsys, write, ("rate: 16000", "rate: 8000"))
    assert lines[-2:] == ["pipelines:", "  differs  never, which no call gets"]


def test_settings_of_the_whole_file(write, capsys):
    more = "active_pipeline: sales\nlimits: {max_call_minutes: 30}\nlogging: {level: DEBUG}\nroutes:\n"
    lines = told(capsys, write, ("routes:\n", more), ("+1800*", "+1900*"))
    assert lines[lines.index("settings:") :] == [
        "settings:",
        "  active_pipeline: default -> sales",
        "  routes[0].when.called: +1800* -> +1900*",
        "  limits.max_call_minutes: 60 -> 30",
        "immediately, also for active calls:",
        "  logging.level: INFO -> DEBUG",
    ]


def test_json(write, capsys):
    report = json.loads(diff(capsys, "--format", "json", "old.yaml", write("new", ("aura", "nova"))))
    assert {key: report[key] for key in ("old", "new", "equal", "added", "removed", "unused", "settings")} == {
        "old": "old.yaml",
        "new": "new.yaml",
        "equal": False,
        "added": [],
        "removed": [],
        "unused": [],
        "settings": [],
    }
    assert report["opens"] == [
        {"role": "tts", "name": "cloud", "adapter": "cloud", "model": "nova", "pipelines": ["default"]}
    ]
    assert [one["model"] for one in report["closes"]] == ["aura"]
    assert len(report["keeps"]) == 4
    assert report["changed"] == {"default": [{"path": "tts[0].model", "old": "aura", "new": "nova"}]}
    same = json.loads(diff(capsys, "--format", "json", "old.yaml", "old.yaml", status=0))
    assert (same["equal"], same["changed"]) == (True, {})


def test_bad_files(write, capsys):
    one, two = write("one", ("aura", "${NO}")), write("two", ("tts: voice", "tts: vioce"))
    text = diff(capsys, one, two, status=78)
    assert "one.yaml:5:" in text
    assert 'did you mean "voice"?' in text
    report = json.loads(diff(capsys, "--format", "json", one, "old.yaml", status=78))
    assert (report["ok"], len(report["errors"])) == (False, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["old.yaml"], "give two files, or one and --engine"),
        (["old.yaml"] * 3, "give two files, or one and --engine"),
        (["old.yaml", "old.yaml", "--engine", "x"], "give two files, or one and --engine"),
        (["old.yaml", "old.yaml", "--set", "x"], "--set needs --engine"),
        ([], "FILE"),
    ],
)
def test_wrong_usage(write, capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        cli.main(["diff", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_tools_of_ones_own(write, capsys, tmp_path):
    Path("diff_tools.py").write_text("tools = ['look_up']\n")
    new = write("new", ("    prompt:", "    tools: [look_up]\n    prompt:"))
    diff(capsys, "old.yaml", new, status=78)
    assert "look_up" in diff(capsys, "--tools", "diff_tools", "old.yaml", new)


# A running engine


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answer(self.path)
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args):
        pass


class UnixServer(socketserver.UnixStreamServer):
    """As `HTTPServer`, on a Unix socket."""


@contextmanager
def served(server, answer):
    server.answer, server.asked = answer, []
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def engine(answer):
    """Something that answers on a Unix socket; gives its path."""
    with TemporaryDirectory(prefix="engine-") as directory:
        control = f"{directory}/c.sock"
        with served(UnixServer(control, Answering), answer):
            yield control


def answer(path, config, *, sets=("main",), digest="other"):
    if path == "/sets":
        return 200, {"sets": [{"set": name, "version": 3, "file": "old.yaml"} for name in sets]}
    if path in {f"/sets/{name}/versions/3" for name in sets}:
        return 200, {"set": "main", "version": 3, "digest": digest, "config": config}
    return 404, {"error": "Not Found"}


@pytest.fixture
def serving(write):
    """What an engine serves that has `old.yaml`."""
    config = load_config(Path("old.yaml"))
    return json.loads(json.dumps(effective_config(config))), config.digest


def test_an_engine_that_serves_the_same(write, capsys, serving):
    config, digest = serving
    with engine(lambda path: answer(path, config, digest=digest)) as control:
        text = diff(capsys, "old.yaml", "--engine", control, status=0)
    assert text == "main, version 3 -> old.yaml: no difference\n"


def test_an_engine_that_serves_something_else(write, capsys, serving):
    new = write("new", ("aura", "nova"))
    with engine(lambda path: answer(path, serving[0])) as control:
        lines = diff(capsys, new, "--engine", control).splitlines()
        report = json.loads(diff(capsys, new, "--engine", control, "--format", "json"))
    assert lines[0] == "main, version 3 -> new.yaml, from the next call on:"
    assert lines[3] == "  opens   tts cloud (nova), for default"
    assert "      tts[0].model: aura -> nova" in lines
    assert (report["old"], report["new"]) == ("main, version 3", "new.yaml")


def test_a_difference_that_is_not_shown(write, capsys, serving):
    new = write("new", ('"${API_KEY}"}', '"${API_KEY}", headers: {X-Token: hunter2}}'))
    config = load_config(Path(new))
    shown = json.loads(json.dumps(effective_config(config)))
    other = write("other", ('"${API_KEY}"}', '"${API_KEY}", headers: {X-Token: hunter22}}'))
    with engine(lambda path: answer(path, shown, digest=config.digest)) as control:
        text = diff(capsys, other, "--engine", control)
        report = json.loads(diff(capsys, other, "--engine", control, "--format", "json"))
    assert "The only difference is in a secret that is written into the file itself" in text
    assert (report["equal"], report["hidden"], report["changed"]) == (False, True, {})


def test_one_of_several_sets(write, capsys, serving):
    config, digest = serving
    with engine(lambda path: answer(path, config, sets=("main", "acme"), digest=digest)) as control:
        asked = "old.yaml", "--engine", control
        assert diff(capsys, *asked, "--set", "acme", status=0).startswith("acme, version 3 ->")
        assert diff(capsys, *asked, status=2) == (
            "the engine has several pipeline sets\n  hint: choose with --set: main, acme\n"
        )
        assert diff(capsys, *asked, "--set", "acne", status=2) == (
            'the engine has no pipeline set "acne"\n  hint: did you mean "acme"? sets: main, acme\n'
        )


def test_by_its_address_and_with_its_token(write, capsys, serving, monkeypatch):
    config, digest = serving
    monkeypatch.setenv("VOICEPIPE_ADMIN_TOKEN", "t" * 16)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with served(HTTPServer(("127.0.0.1", 0), Answering), lambda path: answer(path, config, digest=digest)) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        assert diff(capsys, "old.yaml", "--engine", url, status=0).endswith("no difference\n")
        assert [token for _, token in server.asked] == ["Bearer " + "t" * 16] * 2


NO_HELP = {
    "an older one": (lambda path: answer(path if path == "/sets" else "/", {}), "/sets/main/versions/3 (status"),
    "no engine": (lambda _path: (404, {}), "does not know /sets (status 404)"),
    "no JSON": (lambda _path: (200, b"<html>"), "does not know /sets (status 200)"),
    "no object": (lambda _path: (200, []), "does not know /sets (status 200)"),
    "rubbish in it": (lambda path: answer(path, {"pipelines": 3}), "what the engine serves can't be compared"),
    "a token": (lambda _path: (401, {}), "asks for a token\n  hint: export VOICEPIPE_ADMIN_TOKEN="),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "says"), NO_HELP.values(), ids=NO_HELP)
def test_an_engine_that_is_no_help(write, capsys, answers, says):
    with engine(answers) as control:
        text = diff(capsys, "old.yaml", "--engine", control, status=2)
    assert says in text
    assert "\n  hint: " in text


# httpcore leaves the socket that did not connect to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("address", ["nowhere.sock", "http://127.0.0.1:1", "http://", "http://[::1"])
def test_no_engine(write, capsys, address):
    text = diff(capsys, "old.yaml", "--engine", address, status=2)
    assert text.startswith(f"no engine answers at {address}: ")


def test_without_httpx(write, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert diff(capsys, "old.yaml", "--engine", "x", status=2) == (
        "connecting to an engine needs httpx, which is not installed\n"
        "  hint: pip install 'voicepipe-telephony[engine]'\n"
    )
