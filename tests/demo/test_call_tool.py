"""`voicepipe call`, and the caller's voice and manners that it shares with the demonstration."""

import sys
import wave
from argparse import ArgumentParser

import pytest
import trio
from patience import LONG_S

from voicepipe import AudioFormat, ComponentError, Secret, serve_audiosocket
from voicepipe.audio import level
from voicepipe.commands.call import add_to
from voicepipe.commands.caller import call
from voicepipe.testing.conversation import Line, converse
from voicepipe.testing.speaker import open_speaker
from voicepipe.transports.asterisk_websocket.listener import AsteriskWebSocketOptions, asterisk_websocket
from voicepipe.transports.listener import ListenerContext


async def run_tool(*arguments):
    """The tool's finished process."""
    command = [sys.executable, "-c", "import sys; from voicepipe.cli import main; sys.exit(main())", "call", *arguments]
    with trio.fail_after(LONG_S):
        return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


class Sink:
    """What a call's audio is dropped into."""

    def __init__(self):
        self.spoke, self.over = trio.Event(), trio.Event()

    def audio(self, audio):
        if level(audio) > 300:
            self.spoke.set()

    def hung_up(self, _reason):
        self.spoke.set()
        self.over.set()


@pytest.fixture
async def answered(nursery):
    """Starts a server that answers with so many loud frames, and hangs up `until` something; gives its port."""
    listeners = []

    async def serve(frames, until):
        async def answer(transport):
            async with trio.open_nursery() as call:
                sink = Sink()
                call.start_soon(transport.run, sink)
                for _ in range(frames):
                    transport.write(b"\x00\x10" * 160)
                    await trio.sleep(0.02)
                await until(sink)
                await transport.hang_up()

        listener = await nursery.start(lambda task_status: serve_audiosocket(answer, port=0, task_status=task_status))
        listeners.append(listener)
        return listener.address[1]

    yield serve
    for listener in listeners:
        listener.close()


async def test_it_holds_a_conversation_and_records_it(engine, tmp_path):
    recording = tmp_path / "call.wav"
    done = await run_tool(f"127.0.0.1:{engine.port}", "--say", "goodbye", "--voice", "en-us", "--wav", str(recording))
    assert (done.returncode, done.stderr) == (0, b"")
    told = done.stdout.decode().splitlines()
    assert [line.split()[1] for line in told[1:-1]] == ["agent", "caller", "agent", "agent"]
    assert told[2].endswith('"goodbye"')
    assert told[4].endswith("agent   hung up (0x00)")
    turn = await engine.logged("call.turn", trigger="utterance")
    assert (turn["heard"], turn["said"]) == ("goodbye", "Thank you for calling. Goodbye.")
    with wave.open(str(recording)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)


async def test_an_agent_that_hangs_up_too_early_is_a_failure(answered):
    port = await answered(frames=20, until=lambda sink: sink.spoke.wait())
    done = await run_tool(f"127.0.0.1:{port}", "--say", "goodbye", "--say", "yes")
    assert done.returncode == 1
    assert done.stderr == b"the agent hung up before 'yes' could be said\n"


async def a_moment(_sink):
    await trio.sleep(0.2)


async def test_a_silent_agent_is_a_failure(answered):
    port = await answered(frames=0, until=a_moment)
    done = await run_tool(f"127.0.0.1:{port}", "--say", "yes")
    assert done.returncode == 1
    assert done.stderr == b"the agent did not speak\n"


async def test_a_call_that_takes_too_long_is_a_failure(answered):
    port = await answered(frames=0, until=lambda sink: sink.over.wait())
    done = await run_tool(f"127.0.0.1:{port}", "--timeout", "0.3")
    assert done.returncode == 1
    assert done.stderr == b"the call was not over after 0.3 s, 0 replies in\n"


async def test_nobody_there_is_a_failure():
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        done = await run_tool(f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert done.stderr.startswith(b"the call could not be placed: ")


async def test_a_voice_that_there_is_not_and_an_address_that_is_none():
    done = await run_tool("--voice", "en-uk")
    assert done.returncode == 1
    assert b"there is no voice 'en-uk' (did you mean en-us" in done.stderr
    assert (await run_tool("9092")).returncode == 2


async def test_a_speaker_speaks_in_the_calls_rate():
    async with open_speaker("en-gb", rate=16000) as speaker:
        wide = await speaker.say("yes please")
    async with open_speaker("en-gb", words_per_minute=320) as speaker:
        fast = await speaker.say("yes please")
        assert await speaker.say("") == b""
    assert 500 < AudioFormat(16000).ms_in(len(wide)) < 1200
    assert AudioFormat(8000).ms_in(len(fast)) < 0.8 * AudioFormat(16000).ms_in(len(wide))
    assert level(wide) > 1000


async def test_a_speaker_without_a_voice_says_so():
    with pytest.raises(ComponentError, match="no voice 'xx-yy'"):
        async with open_speaker("xx-yy"):
            pass


class ScriptedCall:
    """A caller whose agent speaks for so many s each time, and hangs up after the last."""

    def __init__(self, *replies):
        self.audio, self.hung_up = AudioFormat(8000), trio.Event()
        self._replies, self._began = list(replies), trio.current_time()

    @property
    def seconds(self):
        return trio.current_time() - self._began

    async def agent_spoke(self, *, quiet_ms):
        speech = self._replies.pop(0)
        await trio.sleep(speech)
        if self._replies:
            await trio.sleep(quiet_ms / 1000)
        else:
            self.hung_up.set()
        return b"\x00\x10" * int(8000 * speech)

    async def say(self, pcm):
        await trio.sleep(len(pcm) / 16000)


async def test_a_conversation_takes_turns(autojump_clock):
    told = []
    caller = ScriptedCall(2.0, 1.0)
    assert await converse(caller, [Line("yes", bytes(8000))], told.append) == 1
    assert [(spoke.who, round(spoke.at_s, 3), spoke.seconds, spoke.text) for spoke in told] == [
        ("agent", 0.0, 2.0, ""),
        ("caller", 2.8, 0.5, "yes"),
        ("agent", 3.3, 1.0, ""),
    ]
    assert [spoke.level for spoke in told] == [4096, 0, 4096]


async def test_a_conversation_ends_with_the_call(autojump_clock):
    told = []
    assert await converse(ScriptedCall(1.0), [Line("yes", bytes(8000))], told.append) == 0
    assert [spoke.who for spoke in told] == ["agent"]


async def test_an_agent_that_hangs_up_without_a_word_is_not_said_to_have_spoken(autojump_clock):
    told = []
    assert await converse(ScriptedCall(0.0), [], told.append) == 0
    assert told == []


async def test_it_calls_over_chan_websocket_with_the_callers_variables(capsys):
    """In this process: what the tool does with its arguments is tested above."""
    infos = []

    async def answer(transport):
        infos.append(transport.info)
        transport.write(b"\x00\x10" * 160 * 20)
        transport.mark(1)
        sink = Sink()
        sink.heard = lambda _mark: sink.spoke.set()
        async with trio.open_nursery() as call:
            call.start_soon(transport.run, sink)
            await sink.spoke.wait()
            await transport.hang_up()

    options = AsteriskWebSocketOptions(port=0, username="pbx", password=Secret("correct horse"))
    async with asterisk_websocket.open(options, ListenerContext()) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, answer)
        host, port = listener.address
        url = f"ws://pbx:correct%20horse@{host}:{port}/media"
        parser = ArgumentParser()
        add_to(parser.add_subparsers())
        arguments = parser.parse_args(["call", url, "--variable", "VP_CALLER=15551230001", "--timeout", str(LONG_S)])
        assert await call(arguments) == []
        nursery.cancel_scope.cancel()
    assert infos[0].caller == "15551230001"
    told = capsys.readouterr().out
    assert f"calling ws://{host}:{port}/media; the channel's ID is test-" in told
    assert "correct" not in told
    assert told.splitlines()[-1].endswith("agent   hung up (HANGUP)")
