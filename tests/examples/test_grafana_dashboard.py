"""The dashboard asks for metrics and labels that there are, in expressions that a real Prometheus answers."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import trio
import yaml
from patience import LONG_S
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector
from recording import RecordedSet

from reference_engine.reports.metrics import Metrics
from voicepipe import CallBegan, CallEnded, CallInfo, ComponentLabel, ToolEnded, ToolStarted

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "examples/deploy/grafana/voicepipe.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}


def with_values(expression):
    """An expression as Grafana sends it, with all engines and sets chosen."""
    return re.sub(r"\$(\w+)", ".*", expression)


def test_each_part_has_its_place_and_an_id_of_its_own():
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "no panel lies over another"
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["targets"] for panel in PANELS)
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__all"} == VARIABLES


def test_its_metrics_and_labels_are_documented():
    page = (ROOT / "docs/reference/engine.md").read_text(encoding="utf-8")
    documented = {
        name: {*labels.replace(" ", "").split(","), "job", "instance", "le"}
        for name, labels in re.findall(r"^\| `(voicepipe_\w+)` \| ([\w, ]*)\|", page, re.MULTILINE)
    }
    for expression in EXPRESSIONS:
        for metric, labels in re.findall(r"(voicepipe_\w+)\{([^}]*)\}", expression):
            name = re.sub(r"_(bucket|count)$", "", metric)
            assert name in documented, metric
            assert set(re.findall(r"(\w+)[=!]", labels)) <= documented[name], expression


def test_grafana_is_told_where_it_is():
    provisioning = yaml.safe_load((ROOT / "examples/deploy/grafana/provisioning.yml").read_text(encoding="utf-8"))
    assert [provider["name"] for provider in provisioning["providers"]] == [DASHBOARD["title"]]


class Exposed(Collector):
    """What an engine's metrics are at a scrape, for a registry that the client's own server serves."""

    def __init__(self, families):
        self._families = families

    def collect(self):
        return self._families


async def families(folder):
    """The metrics of a set with some calls behind it."""
    label = ComponentLabel("a", "a", None)
    async with RecordedSet(folder).serve() as pipelines:
        metrics = Metrics({"main": pipelines}, max_calls=lambda: 10)
        for call in "abc":
            metrics.observe_call(
                CallBegan(call, 0.0, CallInfo(call), "main", 1, "0" * 64, "default", label, label, label)
            )
            metrics.observe_call(ToolStarted(call, 1.0, "a", "orders", {}))
            metrics.observe_call(ToolEnded(call, 1.0, "a", "orders", ok=True, result="", seconds=0.2))
            metrics.observe_call(CallEnded(call, 9.0, "caller_hung_up", 1))
        return [*metrics._registry.collect()]


@pytest.fixture
def scraped(tmp_path):
    """The port of a server that shows them."""
    registry = CollectorRegistry()
    registry.register(Exposed(trio.run(families, tmp_path)))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def prometheus(scraped, tmp_path):
    """A real Prometheus with our rules, which scrapes that port."""
    if shutil.which("prometheus") is None:
        pytest.skip("there is no prometheus: apt install prometheus")
    rules = ROOT / "examples/deploy/prometheus/voicepipe.rules.yml"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "voicepipe", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={tmp_path}/data"]
    log = (tmp_path / "prometheus.log").open("w")
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log, stdout=log)
    with log, httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False) as client:
        try:
            yield client
        finally:
            process.terminate()
            process.wait(LONG_S)


def answer(client, path, **parameters):
    """The data of an answer of Prometheus, which may still be starting."""
    began = time.monotonic()
    while time.monotonic() - began < LONG_S:
        try:
            response = client.get(path, params=parameters)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if response.status_code != 503:
            assert response.status_code == 200, response.text
            return response.json()["data"]
        time.sleep(0.1)
    pytest.fail("Prometheus did not start")


def test_a_real_prometheus_loads_the_rules_and_answers_each_panel(prometheus):
    began = time.monotonic()
    while not answer(prometheus, "/query", query="voicepipe_build_info")["result"]:
        assert time.monotonic() - began < LONG_S, "nothing was scraped"
        time.sleep(0.1)
    groups = answer(prometheus, "/rules")["groups"]
    assert [rule["health"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []
    assert sum(len(group["rules"]) for group in groups) > 15
    empty = [
        expression
        for expression in EXPRESSIONS
        if not answer(prometheus, "/query", query=with_values(re.sub(r"\[\d+[mh]\]", "[1m]", expression)))["result"]
        and "rate(" not in expression
        and "increase(" not in expression  # these need two scrapes
    ]
    assert empty == [], "each state is there at the first scrape"
