"""The softphone in a real browser: Chromium without a screen, with a WAV file for its microphone.

Each test is the person at the page, and on the other side of a listener, an agent. The browser runs in real time, so
what is waited for is what the page shows.
"""

from __future__ import annotations

import wave
from contextlib import asynccontextmanager

import pytest
import trio
import trustme
from attrs import define, field
from devtools import MICROPHONE, open_devtools, running_chromium
from patience import LONG_S, until

from voicepipe import open_call
from voicepipe.calls.events import CallEnded, DtmfReceived
from voicepipe.components.values import Secret
from voicepipe.errors import CallRefused
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import voice
from voicepipe.transports.browser.listener import BrowserOptions, open_browser_listener
from voicepipe.transports.browser.wire_format import RATE
from voicepipe.transports.listener import ListenerContext
from voicepipe.transports.tls import TlsFiles

TOKEN = "ключ+horse&battery=staple/"
MARKUP = "<img src=x onerror=\"document.title='taken'\">."


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    """A second of silence, a word, and silence for so long that a test ends before the word comes again."""
    path = tmp_path_factory.mktemp("microphone") / "word.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * RATE) + voice(RATE, 900) + bytes(100 * 2 * RATE))
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory, microphone):
    """The DevTools of a browser, for all tests of this file: it takes a second to start."""
    flags = [flag.format(microphone) for flag in MICROPHONE]
    flags += ["--host-resolver-rules=MAP phone.example 127.0.0.1", "--ignore-certificate-errors"]
    with running_chromium(tmp_path_factory.mktemp("profile"), *flags) as address:
        yield address


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate of an authority that the browser is told not to look for."""
    home = tmp_path_factory.mktemp("tls")
    certificate = trustme.CA().issue_cert("phone.example")
    certificate.cert_chain_pems[0].write_to_path(home / "certificate.pem")
    certificate.private_key_pem.write_to_path(home / "key.pem")
    return TlsFiles(home / "certificate.pem", home / "key.pem")


@pytest.fixture
async def page(chromium):
    async with open_devtools(chromium) as devtools, devtools.open_page() as page:
        yield page


@asynccontextmanager
async def listening(answer, **options):
    """A listener on a free port, whose calls `answer` conducts; the address of its page."""
    context = ListenerContext(name="web")
    async with (
        open_browser_listener(BrowserOptions(port=0, **options), context) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listener.serve, answer)
        yield f"http://localhost:{listener.address[1]}/"
        nursery.cancel_scope.cancel()


@define(eq=False)
class Agent:
    """An agent of scripted parts."""

    replies: list
    stt: ScriptedSpeechToText = field(factory=lambda: ScriptedSpeechToText(["two appointments"]))
    tts: ToneTextToSpeech = field(factory=lambda: ToneTextToSpeech(ms_a_char=40))
    events: list = field(factory=list)
    calls: list = field(factory=list)
    transports: list = field(factory=list)

    async def answer(self, transport):
        replies = iter(self.replies)
        parts = self.stt, ScriptedLanguageModel(lambda _: next(replies)), self.tts
        self.transports.append(transport)
        async with (
            open_test_pipeline(*parts) as pipeline,
            open_call(pipeline, transport, observer=self.events.append) as call,
        ):
            self.calls.append(call)
            await call.run()

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def plain(complaints):
    """Without what a lost or a refused connection makes the browser say, which no page can prevent."""
    return [
        line for line in complaints if "WebSocket connection to" not in line and "Failed to load resource" not in line
    ]


async def test_a_conversation(page):
    """Both sides are heard and read; keys arrive; what is said is never taken for HTML."""
    agent = Agent(["Hello.", f"You said {MARKUP}", "Five.", "Hash."])
    async with listening(agent.answer) as address:
        await page.open(f"{address}?called=200&variables.tenant=acme")
        assert await page.text("#status") == "Ready"
        await page.click("#call")
        await page.until("document.body.dataset.state == 'up'")
        info = agent.calls[0].info
        assert (info.called, info.variables, info.listener) == ("200", {"tenant": "acme"}, "web")
        await page.until("document.querySelector('#you-level').ariaValueNow > 20")
        # What the caller said, and the answer.
        await page.until("document.querySelector('#transcript .you p').textContent == 'two appointments'")
        await page.until("document.querySelectorAll('#transcript .agent:not(.passing)').length == 2")
        assert (
            await page.evaluate("document.querySelectorAll('#transcript .agent p')[1].textContent")
            == f"You said {MARKUP}"
        )
        assert await page.evaluate("[document.title, document.querySelectorAll('#transcript img').length]") == [
            "voicepipe softphone",
            0,
        ]
        assert len(agent.stt.heard) > RATE  # bytes: half a second
        # The agent's voice has reached the loudspeaker, and all of it.
        spoken_s = sum(map(len, agent.tts.texts)) * agent.tts.ms_a_char / 1000
        await page.until(f"Math.abs(parseFloat(document.querySelector('#played').textContent) - {spoken_s}) < 0.1")
        # Which pipeline answered, and how quickly.
        facts = await page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#answered div')].map(e => "
            "[e.children[0].textContent, e.children[1].textContent]))"
        )
        assert facts == {
            "Pipeline": "test",
            "Version": "1 of main",
            "Listens": "test_stt",
            "Thinks": "test_llm",
            "Speaks": "test_tts",
            "Call": agent.calls[0].call_id,
        }
        assert await page.text("#median") == f"median {await page.text('#turns li > :last-child')}"
        # Keys of the page, and of the keyboard.
        await page.click("#keypad [value='5']")
        await page.press("#")
        await until(lambda: len(agent.told(DtmfReceived)) == 2)
        assert [event.digit for event in agent.told(DtmfReceived)] == ["5", "#"]
        await page.press("m")
        assert await page.evaluate("document.querySelector('#mute').ariaPressed") == "true"
        await page.click("#mute")
        await page.click("#hang-up")
        assert await page.text("#status") == "You hung up"
        await until(lambda: agent.told(CallEnded))
        assert agent.told(CallEnded)[0].outcome == "caller_hung_up"
    assert page.complaints == []


async def test_the_agent_hangs_up_when_its_last_word_was_heard(page):
    agent = Agent(["Goodbye."])
    async with listening(agent.answer) as address:
        await page.open(address)
        await page.click("#call")
        await page.until("document.querySelector('#transcript .agent:not(.passing)')")
        agent.calls[0].hang_up()
        await page.until("document.querySelector('#status').textContent == 'The agent hung up'")
        assert await page.evaluate("[document.querySelector('#call').hidden, document.body.dataset.state]") == [
            False,
            "idle",
        ]
    assert page.complaints == []


async def test_after_a_lost_connection_it_places_a_new_call_and_says_so(page):
    agent = Agent(["Hello."])
    async with listening(agent.answer) as address:
        await page.open(address)
        await page.click("#call")
        await page.until("document.querySelector('#transcript .agent')")
        agent.replies = ["Hello again."]
        await agent.transports[0].socket.aclose()
        await page.until("document.querySelector('#status').textContent == 'Connection lost: calling again in 1 s'")
        assert "The next one is a new call" in await page.text("#problem")
        await page.until("document.querySelector('#transcript .agent p').textContent == 'Hello again.'")
        assert await page.text("#status") == "On a call"
        assert len({call.call_id for call in agent.calls}) == 2
        await page.click("#hang-up")
    assert plain(page.complaints) == []


WORKLET = """
(async () => {
  const made = (globalThis.processors ??= {}); // a module runs once, however often it is imported
  globalThis.AudioWorkletProcessor = class { port = { sent: [], postMessage(message) { this.sent.push(message) } } };
  globalThis.registerProcessor = (name, processor) => { made[name] = processor };
  globalThis.currentTime = 0;
  globalThis.sampleRate = 48000;
  await import(new URL("worklet.js", location.href));
  const tone = (hertz, rate, seconds) =>
    Float32Array.from({ length: rate * seconds }, (_, n) => 0.5 * Math.sin(2 * Math.PI * hertz * n / rate));
  const loudness = samples => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
  const run = (processor, inputs) => {
    const output = new Float32Array(128);
    processor.process([inputs], [[output]]);
    currentTime += 128 / sampleRate;
    return [...output];
  };
  const record = (rate, hertz) => {
    globalThis.sampleRate = rate;
    const microphone = new made.microphone({ processorOptions: { rate: 16000 } });
    const samples = tone(hertz, rate, 1);
    for (let n = 0; n + 128 <= samples.length; n += 128) run(microphone, [samples.subarray(n, n + 128)]);
    const frames = microphone.port.sent.filter(({ audio }) => audio).map(({ audio }) => [...new Int16Array(audio)]);
    const samples_heard = frames.slice(2).flat().map(sample => sample / 32768);
    return { sizes: [...new Set(frames.map(frame => frame.length))], samples: samples_heard };
  };
  const speaker = (rate) => {
    globalThis.sampleRate = rate;
    const made_one = new made.speaker({ processorOptions: { rate: 16000 } });
    return {
      send: (message) => made_one.port.onmessage({ data: message }),
      play: (seconds) => Array.from({ length: Math.ceil(seconds * rate / 128) }, () => run(made_one, [])).flat(),
      marks: () => made_one.port.sent.filter(({ mark }) => mark !== undefined).map(({ mark }) => mark),
      state: () => made_one.port.sent.filter(({ level }) => level !== undefined).at(-1),
      finished: () => made_one.port.sent.some(({ finished }) => finished),
    };
  };
  const line = (seconds, hertz = 1000) => Int16Array.from(tone(hertz, 16000, seconds), sample => sample * 32767);
  return await (async () => { %s })();
})()
"""


async def in_worklet(page, script):
    """Runs the processors of the page's audio thread, sample by sample, without sound and without time."""
    return await page.evaluate(WORKLET % script)


async def test_the_audio_thread(page):
    """All of it in one page: to open one costs as much as the rest."""
    async with listening(Agent([]).answer) as address:
        await page.open(address)
        await the_microphone_is_resampled_without_aliases(page)
        await the_speaker_plays_all_of_it_and_marks_say_when(page)
        await the_speaker_clears_at_once_without_a_click(page)
        await audio_that_is_late_is_waited_for_longer_each_time(page)
    assert page.complaints == []


async def the_microphone_is_resampled_without_aliases(page):
    for rate in (16_000, 44_100, 48_000, 96_000):
        heard = await in_worklet(
            page,
            f"const low = record({rate}, 1000), high = record({rate}, {min(rate // 2 - 500, 12_000)});"
            "const crossings = low.samples.filter((s, n, all) => n && s >= 0 && all[n - 1] < 0).length;"
            "return { sizes: low.sizes, low: loudness(low.samples), high: loudness(high.samples),"
            " crossings: crossings / low.samples.length }",
        )
        assert heard["sizes"] == [320]
        assert heard["low"] == pytest.approx(0.5 / 2**0.5, rel=0.01), rate
        assert heard["crossings"] * RATE == pytest.approx(1000, rel=0.01), rate
        assert rate == RATE or heard["high"] < 0.0005, rate  # 60 dB below what it was


async def the_speaker_plays_all_of_it_and_marks_say_when(page):
    for rate in (16_000, 44_100, 48_000):
        heard = await in_worklet(
            page,
            f"const s = speaker({rate}); s.send({{ mark: 1 }}); s.send({{ audio: line(0.5) }});"
            "s.send({ mark: 2 }); s.send({ audio: line(0.5) }); s.send({ mark: 3 });"
            "const early = s.play(0.45); const before = s.marks(); s.play(0.1); const between = s.marks();"
            "const all = early.concat(s.play(0.6)); s.send({ finish: true }); s.play(0.3);"
            "return { before, between, after: s.marks(), state: s.state(), finished: s.finished(),"
            " loud: loudness(early.slice(-4800)) }",
        )
        assert (heard["before"], heard["between"], heard["after"]) == ([1], [1, 2], [1, 2, 3]), rate
        assert heard["state"]["playedMs"] == 1000, rate
        assert (heard["state"]["queuedMs"], heard["state"]["gaps"]) == (0, 0), rate
        assert heard["loud"] == pytest.approx(0.5 / 2**0.5, rel=0.01), rate
        assert heard["finished"], rate


async def the_speaker_clears_at_once_without_a_click(page):
    heard = await in_worklet(
        page,
        "const s = speaker(48000); s.send({ audio: line(3, 200) }); s.send({ mark: 1 }); s.play(0.5);"
        "s.send({ clear: true }); s.send({ mark: 2 }); const fade = s.play(0.02); const rest = s.play(0.5);"
        "const steps = fade.map((sample, n) => n ? Math.abs(sample - fade[n - 1]) : 0);"
        "s.send({ audio: line(0.2) }); const next = s.play(0.3);"
        "return { marks: s.marks(), rest: Math.max(...rest), step: Math.max(...steps), next: loudness(next),"
        " played: s.state().playedMs }",
    )
    assert heard["marks"] == [2]
    assert heard["rest"] == 0
    assert heard["step"] < 0.05  # a cut would be a step of up to 0.5; the tone's own are 0.013
    assert heard["next"] > 0.2
    assert 690 <= heard["played"] <= 710


async def audio_that_is_late_is_waited_for_longer_each_time(page):
    heard = await in_worklet(
        page,
        "const s = speaker(48000); const gaps = [];"
        "for (let n = 0; n < 5; n++) { s.send({ audio: line(0.02) }); s.play(0.15); gaps.push(s.state().gaps) }"
        "s.play(1); s.send({ audio: line(0.02) }); s.play(0.3); gaps.push(s.state().gaps);"
        "return { gaps, played: s.state().playedMs }",
    )
    assert heard["gaps"] == [0, 1, 2, 3, 4, 4]  # what comes after a pause was not late
    assert heard["played"] == 120


async def test_clear_silences_the_page_at_once_and_marks_say_what_was_heard(page):
    """Three seconds are sent at once; after the third mark the rest is dropped."""
    reported = []
    done = trio.Event()

    async def answer(transport):
        class Sink:
            def audio(self, audio): ...

            def hung_up(self, reason): ...

            def heard(self, mark):
                reported.append(mark)
                if mark == 3:
                    transport.clear()
                    transport.mark(99)
                elif mark == 99:
                    done.set()

        for mark in range(1, 31):
            assert transport.write(voice(RATE, 100))
            transport.mark(mark)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run, Sink())
            await done.wait()
            nursery.cancel_scope.cancel()

    async with listening(answer) as address:
        await page.open(address)
        await page.click("#call")
        with trio.fail_after(LONG_S):
            await done.wait()
        await page.until("document.body.dataset.state == 'idle'")
        assert reported[:3] == [1, 2, 3]
        assert reported[-1] == 99
        assert len(reported) < 30
        assert reported == sorted(reported)
    assert page.complaints == []


async def test_a_call_that_is_refused_is_explained(page):
    async def answer(transport):
        raise CallRefused("no version serves")

    async with listening(answer) as address:
        await page.open(address)
        await page.click("#call")
        await page.until("document.querySelector('#status').textContent == 'The call was not taken'")
        assert "All lines are busy, or nobody is there to answer" in await page.text("#problem")
    assert plain(page.complaints) == []


async def test_beyond_this_machine_the_page_needs_https_and_its_token(page, tls):
    agent = Agent(["Hello."])
    async with listening(agent.answer, token=Secret(TOKEN), tls=tls) as local:
        address = local.replace("http://localhost", "https://phone.example")
        await page.open(address)
        await page.until("document.querySelector('#problem').textContent.includes('#token=')")
        await page.click("#call")
        await page.until("document.querySelector('#status').textContent == 'No call'")
        assert agent.calls == []
        await page.open(f"{address}?again#token={TOKEN}")
        assert await page.text("#problem") == ""
        await page.click("#call")
        await page.until("document.querySelector('#transcript .agent')")
        await page.click("#hang-up")
    assert plain(page.complaints) == []


async def test_a_page_that_comes_in_the_clear_from_elsewhere_has_no_microphone_and_says_why(page):
    agent = Agent(["Hello."])
    async with listening(agent.answer, token=Secret(TOKEN)) as address:
        await page.open(address.replace("localhost", "phone.example"))
        await page.until("!document.querySelector('#problem').hidden")
        words = await page.text("#problem")
        assert "only to pages that come over https, or from this very machine" in words
        assert address in words
        await page.click("#call")
        assert await page.text("#status") == "No microphone"
    assert agent.calls == []


async def test_a_microphone_that_is_not_allowed_is_explained(page):
    agent = Agent(["Hello."])
    async with listening(agent.answer) as address:
        await page.open(address)
        await page.evaluate(
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }"
        )
        await page.click("#call")
        await page.until("document.querySelector('#status').textContent == 'No sound'")
        assert "not allowed to use the microphone" in await page.text("#problem")
    assert agent.calls == []
    assert page.complaints == []


async def test_without_transcript_the_page_learns_nothing_of_the_call(page):
    agent = Agent(["Hello."])
    async with listening(agent.answer, transcript=False) as address:
        await page.open(address)
        await page.click("#call")
        await page.until("parseFloat(document.querySelector('#played').textContent) > 0.1")
        assert await page.texts("#transcript li") == []
        assert "Nothing is shown of a call here" in await page.text("#conversation")
        await page.click("#hang-up")
    assert page.complaints == []


async def test_it_fits_a_telephone_and_a_reader(page):
    """Nothing is cut off at the side, and everything that can be pressed has a name."""
    async with listening(Agent([]).answer) as address:
        await page.open(address)
        for width, dark in ((390, False), (390, True), (1280, False)):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            await page.command("Emulation.setDeviceMetricsOverride", **size)
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            await page.command("Emulation.setEmulatedMedia", features=scheme)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(18, 20, 29)" if dark else "rgb(244, 245, 249)")
        nodes = (await page.command("Accessibility.getFullAXTree"))["nodes"]
        named = [(node["role"]["value"], node["name"]["value"]) for node in nodes if "name" in node]
        assert [name for role, name in named if role == "button"] == ["Call", "Mute", *"123456789", "star", "0", "hash"]
        assert [name for role, name in named if role == "meter"] == ["You", "Agent"]
        assert ("log", "Conversation") in named
