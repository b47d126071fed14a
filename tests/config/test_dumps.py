"""A good file, written out again in any style and order of keys, loads to itself."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
import yaml
from config_adapters import ENVIRON, REGISTRY
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.config.load import load_config

GOOD = Path(__file__).parent / "good"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("dumps")
    copytree(GOOD, path / "good")
    return path / "good"


def restyled(node, draw):
    """The same document: other styles of collections, and mappings in another order."""
    if isinstance(node, yaml.MappingNode):
        # The order of pipelines is the order in which they are listed; nothing else depends on one.
        order = draw(st.permutations(range(len(node.value))))
        value = [(key, restyled(of, draw)) for key, of in node.value]
        names = [key.value for key, _ in value]
        if not {"stt", "type", "turns"}.isdisjoint(names) or "pipelines" in names:
            value = [value[n] for n in order]
        return yaml.MappingNode(node.tag, value, flow_style=draw(st.booleans()))
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [restyled(of, draw) for of in node.value], flow_style=draw(st.booleans()))
    return node


@given(data=st.data())
@settings(max_examples=60)
def test_it_loads_to_itself(directory, data):
    path = data.draw(st.sampled_from(sorted(directory.glob("*.yaml"))))
    document = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    written = yaml.serialize(restyled(document, data.draw), Dumper=yaml.BaseDumper, allow_unicode=True, width=1000)
    twin = path.with_name(f"again-{path.name}")
    twin.write_text(written, encoding="utf-8")
    try:
        expected = load_config(path, registry=REGISTRY, environ=ENVIRON)
        found = load_config(twin, registry=REGISTRY, environ=ENVIRON)
    finally:
        twin.unlink()
    assert found.digest == expected.digest
    assert found.pipelines == expected.pipelines
    assert (found.active_pipeline, found.routes, found.logging) == (
        expected.active_pipeline,
        expected.routes,
        expected.logging,
    )
