"""The commands `steer` and `dial`: the request that each makes, and what it prints."""

import pytest

from reference_engine.cli import main
from reference_engine.control import client

HEARD = {"call_id": "c1", "heard": "We close.", "whole": True}
DIALLED = {"call_id": "c1", "transport_id": "t1"}
CALL = {"caller": "", "variables": {}, "pipeline": "", "ring_s": 30.0, "speaks_first": None}


@pytest.fixture
def asked(monkeypatch):
    """The requests that were made, and the answer that each gets, which a test sets."""

    class Asked(list):
        answer = 200, {"call_id": "c1"}

    asked = Asked()

    def ask(_control, method, path, json):
        asked.append((method, path, json))
        return asked.answer

    monkeypatch.setattr(client, "ask", ask)
    return asked


@pytest.mark.parametrize(
    ("arguments", "path", "body", "answer", "printed"),
    [
        (["say", "We close."], "say", {"text": "We close.", "interrupt": False}, HEARD, "the caller heard it"),
        (
            ["play", "a.wav", "--text", "We close.", "--interrupt"],
            "play",
            {"file": "a.wav", "text": "We close.", "interrupt": True},
            HEARD | {"heard": "We", "whole": False},
            "the caller heard only: We",
        ),
        (["tell", "It rains."], "tell", {"fact": "It rains.", "respond": False}, {}, "the model will know"),
        (
            ["variables", "order=7", "note=a=b", "vip="],
            "variables",
            {"variables": {"order": "7", "note": "a=b", "vip": ""}},
            {},
            "the variables are changed",
        ),
        (["language", "pt-BR"], "language", {"language": "pt-BR"}, {}, "the language is switched"),
        (["recording", "pause"], "recording", {"action": "pause"}, {"recorded": True}, "the recording is silent"),
        (["recording", "resume"], "recording", {"action": "resume"}, {"recorded": True}, "the recording goes on"),
        (["recording", "pause"], "recording", {"action": "pause"}, {"recorded": False}, "this call is not recorded"),
        (["transfer", "200"], "transfer", {"target": "200"}, {}, "transferred"),
        (["hang-up"], "hang-up", {"goodbye": ""}, {}, "the call ends"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_call_is_steered(asked, capsys, arguments, path, body, answer, printed):
    asked.answer = 200, {"call_id": "c1"} | answer
    assert main(["steer", "c/1", *arguments]) == 0
    assert asked == [("POST", f"/calls/c%2F1/{path}", body)]
    assert capsys.readouterr().out == f"c1: {printed}\n"


@pytest.mark.parametrize("variable", ["order", "=7", ""])
def test_what_is_no_variable_is_wrong_usage(asked, capsys, variable):
    with pytest.raises(SystemExit, match="2"):
        main(["steer", "c1", "variables", variable])
    assert f"{variable!r} is not NAME=VALUE" in capsys.readouterr().err
    assert asked == []


def test_somebody_is_called(asked, capsys):
    asked.answer = 200, DIALLED
    assert main(["dial", "PJSIP/200", "--listener", "phones"]) == 0
    options = ["--caller", "+4930123", "--pipeline", "reminder", "--ring", "45", "--speaks-first", "caller"]
    assert main(["dial", "PJSIP/200", "order=7", "--listener", "phones", *options]) == 0
    first = {"listener": "phones", "target": "PJSIP/200", **CALL}
    second = {"caller": "+4930123", "variables": {"order": "7"}, "pipeline": "reminder", "ring_s": 45.0}
    assert asked == [("POST", "/calls", first), ("POST", "/calls", first | second | {"speaks_first": "caller"})]
    assert capsys.readouterr().out == "c1\nc1\n"


def test_who_does_not_answer_is_told(asked, capsys):
    asked.answer = 409, {"error": "the line is busy", "outcome": "busy"}
    assert main(["dial", "PJSIP/200", "--listener", "phones"]) == 1
    assert "the line is busy" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["play", "variables", "language", "recording"])
def test_the_help_of_an_action_explains_it(capsys, action):
    with pytest.raises(SystemExit, match="0"):
        main(["steer", "c1", action, "--help"])
    assert len(capsys.readouterr().out) > 400
