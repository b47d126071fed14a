"""R27: secrets appear in no log, dump, diff, error, digest or status page; a changed one makes a new version, named."""

from __future__ import annotations

import json
import traceback
from contextlib import asynccontextmanager
from hashlib import sha256
from urllib.parse import quote

import pytest
from attrs import frozen
from recording import make_component

from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.reports.json_bodies import outcome_body, set_body, version_detail_body
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.reload_log import reload_log
from voicepipe import (
    Adapter,
    Applied,
    ComponentError,
    ConfigError,
    Location,
    Problem,
    Registry,
    Rejected,
    Secret,
    Unchanged,
    effective_config,
    format_problems,
    load_config,
    open_pipeline_set,
    problems_as_data,
)
from voicepipe.components.boundary import await_guarded
from voicepipe.roles import ROLES

CANARIES = {
    "KEY": "canary-in-the-environment",
    "TOKEN": "canary/of&strange=characters \"'\\ü\n\t",
    "WORD": "canary-in-a-text",
    "LATER": "canary-of-the-next-version",
    "file": "canary-in-a-file",
    "literal": "canary-in-the-yaml",
    "default": "canary-as-a-default",
}
FILE = """\
components:
  voice:
    type: cloud
    key: ${{KEY}}
    header: Bearer ${{TOKEN}}
    from_file: ${{file:key.txt}}
    literal: canary-in-the-yaml
    default: ${{UNSET:-canary-as-a-default}}
    more: {{authorization: "Basic ${{TOKEN}}"}}
    do: {do}
pipelines:
  default:
    stt: cloud
    llm: cloud
    tts: [voice, cloud]
    prompt: "Your word is ${{WORD}}. {prompt}"
    greeting: Hello from ${{WORD}}
    on_failure: {{say: "Ask for ${{WORD}}"}}
    tools: [ask]
tools:
  ask:
    description: Asks for ${{WORD}}
    parameters: {{type: object, properties: {{word: {{const: "${{WORD}}"}}}}}}
    http:
      url: http://127.0.0.1/${{WORD}}
      query: {{word: "${{WORD}}"}}
      headers:
        {{authorization: "Basic ${{KEY}}", x-key: canary-in-the-yaml, x-more: "${{UNSET:-canary-as-a-default}}"}}
limits: {{goodbye: "Bye, ${{WORD}}"}}
"""


@frozen
class Cloud:
    key: Secret | None = None
    header: str = ""
    from_file: str = ""
    literal: Secret | None = None
    default: Secret | None = None
    more: dict[str, str] | None = None
    do: str = "nothing"

    @property
    def quoted(self):
        """All secrets, as a careless vendor would quote them in an error."""
        values = [self.key, self.header, self.from_file, self.literal, self.default, *(self.more or {}).values()]
        plain = [str.__str__(value) for value in values if value]
        return "; ".join([*plain, repr(plain), json.dumps(plain), *map(quote, plain)])


def component_error(options):
    return ComponentError(options.quoted, answered=options.quoted, hint=options.quoted)


def behind(options):
    error = ComponentError("refused")
    error.__cause__ = ValueError(options.quoted)
    return error


def noted(options):
    error = OSError("refused")
    error.add_note(options.quoted)
    return error


RAISED = {
    "a vendor's exception": lambda options: ValueError(options.quoted),
    "a component's error": component_error,
    "a group": lambda options: ExceptionGroup("several", [OSError(options.quoted), SystemExit(options.quoted)]),
    "an error that another one led to": behind,
    "a note": noted,
}


@asynccontextmanager
async def opened(role, options):
    if options.do in RAISED:
        raise RAISED[options.do](options)
    yield make_component(role)


def check(options):
    if options.do == "check":
        yield Problem(Location(""), "key", f"is no good: {options.quoted}", f"use another than {options.quoted}")


def registry():
    return Registry(
        Adapter(
            name="cloud",
            role=role,
            options=Cloud,
            open=lambda options, _resources, role=role: opened(role, options),
            check=check,
            model=lambda options: f"model of {options.quoted}",
        )
        for role in ROLES
    )


class Watched:
    """A set with secrets everywhere, and all that is said about it."""

    def __init__(self, directory):
        self.path = directory / "ai-agent.yaml"
        self.directory = directory
        self.environ = {name: value for name, value in CANARIES.items() if name.isupper()}
        (directory / "key.txt").write_text(CANARIES["file"] + "\n")
        self.write()
        self.log_path = directory / "log"
        self.said = []

    def write(self, do="nothing", prompt="", **replaced):
        text = FILE.format(do=json.dumps(do), prompt=prompt)
        for old, new in replaced.items():
            text = text.replace(f"${{{old}}}", new)
        self.path.write_text(text)

    @asynccontextmanager
    async def serve(self):
        sets = {}
        metrics = Metrics(sets)
        with self.log_path.open("wb") as file, LineWriter(file.fileno()) as lines:
            logs = [reload_log(open_log(lines, form, lambda _set: "DEBUG")) for form in ("json", "console")]

            def observe(event):
                self.hear(event)
                metrics.observe_set(event)
                for log in logs:
                    log(event)

            async with open_pipeline_set(
                self.path, registry=registry(), environ=lambda: dict(self.environ), observer=observe
            ) as pipelines:
                sets["main"] = pipelines
                yield pipelines
                self.look_at(pipelines)
                self.said.append(metrics.exposition()[0].decode())
        self.said.append(self.log_path.read_text())

    def hear(self, event):
        self.said += [repr(event), str(event)]
        if isinstance(event, Applied | Unchanged | Rejected):
            self.said += [json.dumps(outcome_body(event)), repr(outcome_body(event))]
        if isinstance(event, Applied):
            self.said.append(str(event.plan))
        if isinstance(event, Rejected):
            self.problems(event.problems)

    def problems(self, problems):
        self.said += [repr(problems), *map(str, problems), *(problem.source for problem in problems)]
        self.said += [format_problems(problems), json.dumps(problems_as_data(problems), ensure_ascii=False)]

    def look_at(self, pipelines):
        snapshot = pipelines.current
        active = snapshot.active
        bodies = [set_body(pipelines, "serving"), *(version_detail_body(pipelines, one) for one in pipelines.history)]
        self.said += [repr(pipelines.history), repr(bodies), json.dumps(bodies), json.dumps(bodies, ensure_ascii=False)]
        self.said += [repr(snapshot), repr(snapshot.config), repr(snapshot.config.pipelines), snapshot.digest]
        self.said += [json.dumps(effective_config(snapshot.config), ensure_ascii=False)]
        self.said += [repr(effective_config(snapshot.config)), repr(active.settings)]
        for one in (*active.stt, *active.llm, *active.tts):
            self.said += [repr(one), repr(one.label), repr(one.settings), repr(one.settings.options), repr(one.ref)]

    def raised(self, error):
        self.said += [str(error), repr(error), *traceback.format_exception(error)]

    def assert_silent(self):
        said = "\n".join(self.said)
        assert len(said) > 100
        for value in CANARIES.values():
            for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value), quote(value, safe="")):
                at = said.find(form)
                assert at < 0, said[max(0, at - 300) : at + 100]


@pytest.fixture
def watched(tmp_path):
    watching = Watched(tmp_path)
    yield watching
    watching.assert_silent()


async def test_nowhere_in_a_start_a_reload_or_a_rollback(watched):
    async with watched.serve() as pipelines:
        watched.look_at(pipelines)
        options = pipelines.current.active.tts[0].settings.options
        assert (str(options.key), options.header) == (CANARIES["KEY"], f"Bearer {CANARIES['TOKEN']}")
        assert (str(options.from_file), str(options.default)) == (CANARIES["file"], CANARIES["default"])
        watched.write(prompt="Be brief.")
        assert isinstance(await pipelines.reload(), Applied)
        watched.look_at(pipelines)
        assert isinstance(await pipelines.rollback(), Applied)
        assert isinstance(await pipelines.reload(), Unchanged)
        assert isinstance(await pipelines.reload(force=True), Applied)
    assert "reload.applied" in "\n".join(watched.said)


@pytest.mark.parametrize("do", RAISED)
async def test_not_in_the_error_of_a_component_that_does_not_open(watched, do):
    watched.write(do)
    async with watched.serve() as pipelines:  # the list opens in part
        (problem,) = pipelines.history[-1].plan.degraded
        assert problem.message.startswith("tts voice can't be opened: ")
        watched.problems([problem])
    watched.path.write_text(watched.path.read_text().replace("[voice, cloud]", "voice"))
    with pytest.raises(ConfigError) as caught:
        async with watched.serve():
            pytest.fail("it serves")
    watched.raised(caught.value)
    watched.problems(caught.value.problems)


@pytest.mark.parametrize("do", [*RAISED, "check"])
async def test_not_in_a_rejection(watched, do):
    async with watched.serve() as pipelines:
        watched.write(do)
        watched.path.write_text(watched.path.read_text().replace("[voice, cloud]", "voice"))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert outcome.reason == ("config" if do == "check" else "open")
        shown = json.dumps(outcome_body(outcome))
        if do in {"a vendor's exception", "check"}:
            assert "${KEY}" in shown
            assert "${TOKEN}" in shown
    assert "reload.rejected" in "\n".join(watched.said)


@pytest.mark.parametrize("make", RAISED.values(), ids=RAISED)
async def test_not_in_what_a_call_is_told_of_a_component_that_fails(watched, make):
    async with watched.serve() as pipelines:
        voice = pipelines.current.active.tts[0]

        async def fail():
            raise make(voice.settings.options)

        for who in (voice.ref, voice.component._ref):
            with pytest.raises(ComponentError) as caught:
                await await_guarded(who, fail)
            error = caught.value
            assert error.component == "voice"
            watched.raised(error)
            watched.said += [error.message, error.answered, error.hint]


async def test_the_labels_of_logs_name_models_without_them(watched):
    async with watched.serve() as pipelines:
        label = pipelines.current.active.tts[0].label
        assert label.model.startswith("model of ${KEY}; Bearer ${TOKEN}; ${file:key.txt}; ***; ${UNSET:-***}; ")


def names_of(changes):
    """What changed, without the model that stands behind a component's name."""
    return tuple(change.partition(" (")[0] for change in changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("KEY", ("tts voice", "tools.ask.http.headers.authorization")),
        ("TOKEN", ("tts voice",)),
        (
            "WORD",
            (
                "pipelines.default.prompt",
                "pipelines.default.greeting",
                "pipelines.default.on_failure.say",
                "pipelines.default.limits.goodbye",
                "tools.ask.description",
                "tools.ask.http.url",
                "tools.ask.http.query.word",
                "tools.ask.parameters.properties.word.const",
            ),
        ),
    ],
)
async def test_one_that_changed_makes_a_new_version_that_says_so(watched, name, changes):
    async with watched.serve() as pipelines:
        digest = pipelines.current.digest
        watched.environ[name] = CANARIES["LATER"]
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.digest, outcome.plan.changed) == (2, digest, ("default",))
        assert names_of(outcome.plan.secrets_changed) == changes
        assert f"secrets changed: {', '.join(outcome.plan.secrets_changed)}" in str(outcome.plan)
        assert outcome_body(outcome)["plan"]["secrets_changed"] == list(outcome.plan.secrets_changed)
        assert isinstance(await pipelines.reload(), Unchanged)


async def test_a_file_or_a_literal_that_changed_says_so_as_well(watched):
    async with watched.serve() as pipelines:
        digest = pipelines.current.digest
        (watched.directory / "key.txt").write_text(CANARIES["LATER"])
        outcome = await pipelines.reload()
        assert (outcome.version, outcome.digest, names_of(outcome.plan.secrets_changed)) == (2, digest, ("tts voice",))
        watched.path.write_text(watched.path.read_text().replace(CANARIES["literal"], CANARIES["LATER"]))
        outcome = await pipelines.reload()
        changed = ("tts voice", "tools.ask.http.headers.x-key")
        assert (outcome.version, outcome.digest, names_of(outcome.plan.secrets_changed)) == (3, digest, changed)


async def test_an_edit_beside_it_is_no_changed_secret(watched):
    async with watched.serve() as pipelines:
        watched.write(prompt="Be brief.")
        outcome = await pipelines.reload()
        assert outcome.plan.secrets_changed == ()
        assert "secret" not in str(outcome.plan)


def test_the_digest_is_of_names_not_of_values(watched):
    config = load_config(watched.path, registry=registry(), environ=watched.environ)
    other = load_config(watched.path, registry=registry(), environ=dict.fromkeys(watched.environ, CANARIES["LATER"]))
    assert config.digest == other.digest
    assert config.pipelines["default"] != other.pipelines["default"]
    digests = {sha256(value.encode()).hexdigest() for value in CANARIES.values()}
    assert config.digest not in digests
    watched.said += [repr(config), *(repr(one) for one in config.pipelines.values()), "-" * 100]


def test_what_is_kept_of_the_sources_has_no_file_of_a_secret_in_it(watched):
    config = load_config(watched.path, registry=registry(), environ=watched.environ)
    assert list(config.sources) == [watched.path]
    assert watched.directory / "key.txt" in config.files
    kept = b"".join(config.sources.values()).decode().replace(CANARIES["literal"], "").replace(CANARIES["default"], "")
    watched.said.append(kept)


@pytest.mark.parametrize("do", ["nothing", *RAISED])
@pytest.mark.parametrize(("before", "after"), [("", "\n"), ("", "\r\n"), (" \n", " \t"), ("\ufeff", "\r\n")])
async def test_white_space_around_a_key_is_no_part_of_it(watched, do, before, after):
    """In Kubernetes a Secret made with `echo` ends in a line break; a file from Windows begins with a mark."""
    watched.directory.joinpath("key.txt").write_text(f"{before}{CANARIES['file']}{after}", encoding="utf-8")
    watched.environ["KEY"] = f"{CANARIES['KEY']}{after}"
    watched.write(do)
    watched.path.write_text(watched.path.read_text().replace("Bearer ${TOKEN}", "Bearer ${KEY}"))
    async with watched.serve() as pipelines:
        options = pipelines.current.active.settings.tts[0].options
        assert str(options.key) == CANARIES["KEY"]
        assert str(options.from_file).strip() == CANARIES["file"]
        watched.look_at(pipelines)


@pytest.mark.parametrize("value", ["t", "abc", "a b\n", "12345"])
async def test_one_that_is_too_short_to_conceal_is_refused_and_named(watched, value):
    watched.environ["KEY"] = value
    with pytest.raises(ConfigError, match="too short for a secret") as caught:
        async with watched.serve():
            pytest.fail("it serves")
    assert {problem.path for problem in caught.value.problems} >= {"components.voice.key"}
    watched.raised(caught.value)
