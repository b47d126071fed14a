// The microphone and the speaker of a call.

/** A reason in words why there is no sound, for the person at the page. */
export class AudioProblem extends Error {}

const REASONS = {
  NotAllowedError:
    "The browser was not allowed to use the microphone. Allow it for this page (the icon beside the address), then call again.",
  NotFoundError: "There is no microphone. Connect one, then call again.",
  NotReadableError: "The microphone can't be opened: another program may be using it. Close that program, then call again.",
  OverconstrainedError: "The chosen microphone is gone. Connect it, then call again.",
  AbortError: "The microphone failed to start. Call again; if that fails too, reconnect the microphone.",
};

/** Why this page can't have a microphone at all; an empty string if it can. */
export function whyNoMicrophone() {
  if (!window.isSecureContext) {
    const local = `http://localhost${location.port ? `:${location.port}` : ""}/`;
    return (
      "Browsers give the microphone only to pages that come over https, or from this very machine. " +
      `On the machine of the engine, open ${local}; from elsewhere, give the listener a certificate (tls) and use https.`
    );
  }
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    return "This browser has no microphone for pages, or no AudioWorklet. Use a present Chromium, Firefox or Safari.";
  }
  return "";
}

/**
 * Opens the microphone and the speaker; to be called in a click, or the browser keeps the speaker silent.
 *
 * Its handlers: `onFrame(ArrayBuffer)` with 20 ms of the microphone, `onMark(number)` for audio that was heard,
 * `onLevels({you, agent})` from 0 to 1, and `onState({playedMs, queuedMs, gaps})`.
 */
export async function openAudio(rate, handlers) {
  const context = new AudioContext({ latencyHint: "interactive" });
  const resumed = context.resume(); // before the first await: while the click still counts
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
    await resumed;
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    return new Audio(context, stream, rate, handlers);
  } catch (error) {
    for (const track of stream?.getTracks() ?? []) track.stop();
    await context.close();
    throw new AudioProblem(REASONS[error.name] ?? `There is no sound: ${error.message}`);
  }
}

class Audio {
  constructor(context, stream, rate, { onFrame, onMark, onLevels, onState, onTrouble }) {
    this.context = context;
    this.stream = stream;
    const options = { outputChannelCount: [1], processorOptions: { rate } };
    const microphone = new AudioWorkletNode(context, "microphone", { ...options, channelCount: 1, channelCountMode: "explicit" });
    this.speaker = new AudioWorkletNode(context, "speaker", { ...options, numberOfInputs: 0 });
    this.source = context.createMediaStreamSource(stream);
    this.source.connect(microphone).connect(context.destination); // it writes nothing, but runs only if it is connected
    this.speaker.connect(context.destination);
    microphone.port.onmessage = ({ data: { audio, level } }) => {
      if (audio) onFrame(audio);
      if (level !== undefined) onLevels({ you: level });
    };
    this.speaker.port.onmessage = ({ data: { mark, level, finished, ...state } }) => {
      if (mark !== undefined) onMark(mark);
      if (finished) this.finished?.();
      if (level !== undefined) {
        onLevels({ agent: level });
        onState(state);
      }
    };
    const [track] = stream.getAudioTracks();
    track.onended = () => onTrouble("The microphone is gone; the agent hears silence. Connect it and call again.");
    this.latencyTimer = setInterval(() => this.noteLatency(), 1000);
    this.noteLatency();
  }

  /** How long the device takes to sound what it is given, which delays the report of what was heard. */
  noteLatency() {
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    this.speaker.port.postMessage({ latency: Math.min(latency, 1) });
  }

  set muted(muted) {
    for (const track of this.stream.getAudioTracks()) track.enabled = !muted;
  }

  play(buffer) {
    this.speaker.port.postMessage({ audio: new Int16Array(buffer) }, [buffer]);
  }

  mark(mark) {
    this.speaker.port.postMessage({ mark });
  }

  clear() {
    this.speaker.port.postMessage({ clear: true });
  }

  /** Returns when all that was written has been heard, or after `mostMs`. */
  async finish(mostMs) {
    const heard = new Promise((resolve) => {
      this.finished = resolve;
    });
    this.speaker.port.postMessage({ finish: true });
    await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, mostMs))]);
  }

  async close() {
    clearInterval(this.latencyTimer);
    for (const track of this.stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    if (this.context.state !== "closed") await this.context.close();
  }
}
