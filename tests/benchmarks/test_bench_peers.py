"""The peers get voicepipe's own calls, and the table says what was measured; how they fare is no test's business."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import bench_components
import bench_peers
import chain_parts
import pytest
from bench_peers import PEERS, TooManyCallsError
from chain_parts import Vendors

from voicepipe.calls.listening import vad
from voicepipe.config.call_settings import BargeInSettings, TurnsSettings

SPEED = {"late_p50_ms": 0.1, "late_p99_ms": 1.0, "callers_late_p99_ms": 0.1, "load": 0.2, "faults": []}


@pytest.mark.filterwarnings("ignore:'audioop':DeprecationWarning")  # Python 3.12
def test_the_peers_say_and_decide_what_voicepipe_does(monkeypatch):
    monkeypatch.syspath_prepend(Path(bench_peers.__file__).with_name("peers"))
    import peer_calls  # noqa: PLC0415 - it is found only now

    monkeypatch.delitem(sys.modules, "peer_calls")
    assert peer_calls.REPLY == bench_components.REPLY
    assert peer_calls.speech(peer_calls.REPLY) == bench_components.SPEECH
    greeting = b"".join(peer_calls.speech(peer_calls.GREETING))
    assert len(greeting) == bench_components.GREETING_FRAMES * bench_components.FRAME_BYTES
    assert TurnsSettings().end_of_turn_ms == peer_calls.END_OF_TURN_S * 1000
    assert BargeInSettings().min_speech_ms == peer_calls.MIN_SPEECH_S * 1000
    assert peer_calls.MIN_LEVEL == vad.MIN_LEVEL


def test_who_can_not_hold_so_many_is_not_tried_with_more(monkeypatch, capsys):
    tried = []

    def hold(name, calls, arguments):
        tried.append((name, calls))
        if name == "pipecat" and calls > 10:
            raise TooManyCallsError("it needs all of its core")
        return {**SPEED, "cpu_s_per_call_min": {"echo": 0.2, "voicepipe": 0.1}.get(name, 0.4)}

    monkeypatch.setattr(bench_peers, "hold", hold)
    monkeypatch.setattr(bench_peers, "set_ups", lambda name, arguments: 100)
    rows = []
    arguments = Namespace(runs=2, seconds=1, warm_up=1, set_ups=1)
    bench_peers.measure(["echo", "voicepipe", "pipecat", "livekit"], [10, 50, 100], arguments, rows)
    assert tried.count(("pipecat", 10)) == 2
    assert tried.count(("pipecat", 50)) == 1
    assert ("pipecat", 100) not in tried
    assert [(row["server"], row["n"], row.get("ratio_to_echo", row.get("cant"))) for row in rows] == [
        ("echo", 10, 1.0),
        ("voicepipe", 10, 0.5),
        ("pipecat", 10, 2.0),
        ("livekit", 10, 2.0),
        ("echo", 50, 1.0),
        ("voicepipe", 50, 0.5),
        ("pipecat", 50, "it needs all of its core"),
        ("livekit", 50, 2.0),
        ("echo", 100, 1.0),
        ("voicepipe", 100, 0.5),
        ("livekit", 100, 2.0),
    ]
    lines = list(bench_peers.table(rows))
    assert lines[8].startswith("| pipecat | 50 | can't |")
    assert len({line.count("|") for line in lines}) == 1
    assert "can't: it needs all of its core" in capsys.readouterr().out


@pytest.mark.parametrize("vendors", [None, Vendors()], ids=["alone", "chain"])
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_answers(name, vendors):
    server = PEERS[name]
    if not (server.folder / "installed.txt").exists():
        pytest.skip(f"{server.folder.name} is not there: `make bench-peers` makes it")
    bench_peers.OUT.mkdir(parents=True, exist_ok=True)
    said = []
    with bench_peers.held(name, said, vendors) as held:
        answered = held.call("--what", "set_up", "--calls", 2, at_most_s=60)
    assert answered["set_ups_a_second"] > 0
    assert said == [b'{"response_ms": []}\n']


def test_each_server_is_told_where_the_vendors_are(monkeypatch, tmp_path):
    monkeypatch.setattr(chain_parts, "OUT", tmp_path)
    base, ca_file = "https://127.0.0.1:4433", tmp_path / "ca.pem"
    assert PEERS["livekit"].command(base, ca_file)[-2:] == ["--vendors", base]
    assert PEERS["pipecat-lean"].command(base, ca_file)[-3:] == ["--lean", "--vendors", base]
    assert bench_peers.OURS["echo"].command(base, ca_file)[1:] == [bench_peers.HERE / "echo.py"]
    file = bench_peers.OURS["voicepipe"].command(base, ca_file)[-1]
    components = file.read_text().splitlines()[2:5]
    assert [f'base_url: "{base}' in line and f'ca_file: "{ca_file}"' in line for line in components] == [True] * 3
