"""The files of `examples/deploy/kubernetes` and `container` fit the engine, and Kubernetes's own schemas."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from reference_engine.commands.parser import make_parser
from reference_engine.lifecycle.stopping import CLOSE_S
from reference_engine.settings.loading import load_engine_settings
from voicepipe import load_config

ROOT = Path(__file__).parents[2]
KUBERNETES, CONTAINER = ROOT / "examples/deploy/kubernetes", ROOT / "examples/deploy/container"
VARIABLES = dict.fromkeys(
    ("VOICEPIPE_ADMIN_TOKEN", "DATABASE_PASSWORD", "POD_NAME", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"),
    "a-long-value-of-it",
)
KUBERNETES_VERSIONS = ("1.28", "1.32")
"""Of the schemas: the oldest that anybody may still have, and a recent one."""


def documents(*names):
    """The documents of files of Kubernetes."""
    return [document for name in names for document in yaml.safe_load_all((KUBERNETES / name).read_text())]


@pytest.fixture(scope="module")
def kustomization():
    return yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())


@pytest.fixture(scope="module")
def manifests(kustomization):
    """What is applied, without what kubectl adds."""
    return {(each["kind"], each["metadata"]["name"]): each for each in documents(*kustomization["resources"])}


@pytest.fixture(scope="module")
def pod(manifests):
    return manifests["StatefulSet", "voicepipe"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def engine(pod):
    return pod["containers"][0]


@pytest.mark.parametrize("directory", [KUBERNETES, CONTAINER], ids=lambda path: path.name)
def test_the_engines_file_is_valid(directory):
    settings = load_engine_settings(directory / "engine.yaml", environ=VARIABLES)
    assert settings.max_calls
    assert settings.records.is_database


def test_the_sets_files_are_valid():
    load_config(KUBERNETES / "ai-agent.yaml", environ=VARIABLES)
    load_config(ROOT / "config/ai-agent.yaml", environ=VARIABLES)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_kubernetes_takes_each_manifest(manifests, version):
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for manifest in manifests.values():
        validate.validate(manifest, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kubectl_puts_them_together(manifests):
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES], capture_output=True, text=True, check=False, timeout=60
    )
    assert built.returncode == 0, built.stderr
    made = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(built.stdout)}
    assert made.keys() == {*manifests, ("ConfigMap", "voicepipe")}
    assert set(made["ConfigMap", "voicepipe"]["data"]) == {"engine.yaml", "ai-agent.yaml"}
    assert all(
        each["metadata"].get("namespace") == "voicepipe" for (kind, _), each in made.items() if kind != "Namespace"
    )


def test_ports_are_those_of_the_engines_file(manifests, engine):
    settings = load_engine_settings(KUBERNETES / "engine.yaml", environ=VARIABLES)
    bound = {"audiosocket": settings.listeners[0].address[1], "admin": settings.admin.port}
    bound["agent-check"] = settings.agent_check.port
    assert {port["name"]: port["containerPort"] for port in engine["ports"]} == bound
    for name in ("voicepipe", "voicepipe-engines"):
        ports = {port["name"]: port["port"] for port in manifests["Service", name]["spec"]["ports"]}
        assert ports.items() <= bound.items()
    rules = manifests["NetworkPolicy", "voicepipe"]["spec"]["ingress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == set(bound)


def test_a_pod_may_write_where_the_engine_does(engine):
    settings = load_engine_settings(KUBERNETES / "engine.yaml", environ=VARIABLES)
    mounted = {Path(each["mountPath"]) for each in engine["volumeMounts"] if not each.get("readOnly")}
    for path in (settings.records_spool, settings.notify_spool, settings.last_known_good, settings.control):
        assert mounted & {*path.parents}
    assert engine["securityContext"]["readOnlyRootFilesystem"]


def test_commands_are_those_of_the_engine(engine):
    program, *pause = engine["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "reference-engine"
    asked, run = make_parser().parse_args(pause), make_parser().parse_args(engine["args"])
    settings = load_engine_settings(KUBERNETES / "engine.yaml", environ=VARIABLES)
    assert asked.control == settings.control
    assert run.file == Path("/etc/voicepipe/engine.yaml")
    assert set(re.findall(r"\$\{(\w+)", (KUBERNETES / "engine.yaml").read_text())) <= VARIABLES.keys()


def test_calls_may_end_before_kubernetes_kills(pod, engine):
    pause = make_parser().parse_args(engine["lifecycle"]["preStop"]["exec"]["command"][1:])
    settings = load_engine_settings(KUBERNETES / "engine.yaml", environ=VARIABLES)
    assert pod["terminationGracePeriodSeconds"] >= pause.wait + settings.drain_s + CLOSE_S


def test_selectors_find_the_pods(manifests):
    labels = manifests["StatefulSet", "voicepipe"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifests["StatefulSet", "voicepipe"]["spec"]["selector"]["matchLabels"],
        manifests["Service", "voicepipe"]["spec"]["selector"],
        manifests["Service", "voicepipe-engines"]["spec"]["selector"],
        manifests["PodDisruptionBudget", "voicepipe"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy", "voicepipe"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_engines_are_scaled_by_a_metric_that_there_is():
    (scaled,) = documents("scaling.yaml")
    assert scaled["spec"]["scaleTargetRef"] == {"kind": "StatefulSet", "name": "voicepipe"}
    (trigger,) = scaled["spec"]["triggers"]
    (metric,) = re.findall(r"voicepipe_\w+", trigger["metadata"]["query"])
    assert f"| `{metric}` |" in (ROOT / "docs/reference/engine.md").read_text()
    settings = load_engine_settings(KUBERNETES / "engine.yaml", environ=VARIABLES)
    assert float(trigger["metadata"]["threshold"]) == 0.6 * settings.max_calls


def test_the_image_is_made_of_extras_that_there_are():
    text = (CONTAINER / "Dockerfile").read_text()
    (extras,) = re.findall(r"/source\[([\w,]+)\]", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    (entrypoint,) = re.findall(r'^ENTRYPOINT \["([\w-]+)"\]', text, re.MULTILINE)
    assert entrypoint in project["scripts"]
    (command,) = re.findall(r"^CMD \[(.*)\]", text, re.MULTILINE)
    assert make_parser().parse_args(re.findall(r'"(.*?)"', command)).file == Path("/etc/voicepipe/engine.yaml")
    # A step that is over several lines goes on at each line's end.
    assert all(first.endswith("\\") for first, then in pairwise(text.splitlines()) if then.startswith(" "))


def test_compose_mounts_what_there_is_and_waits_for_calls():
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    settings = load_engine_settings(CONTAINER / "engine.yaml", environ=VARIABLES)
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (CONTAINER / source).exists()
        if isinstance(build := service.get("build"), dict):
            assert (CONTAINER / build["context"] / build["dockerfile"]).is_file()
    assert int(services["engine"]["stop_grace_period"].removesuffix("s")) >= settings.drain_s + CLOSE_S
    assert f"engine:{settings.listeners[0].address[1]}" in (CONTAINER / "extensions.conf").read_text()
    assert f"engine:{settings.admin.port}" in (CONTAINER / "prometheus.yml").read_text()
