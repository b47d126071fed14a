// The two ends of the call's audio, in the browser's audio thread.
//
// The line carries 16-bit linear samples at the call's rate; the sound card has a rate of its own. Each processor
// converts between the two with a band-limited resampler, because not every browser lets an AudioContext have the
// call's rate while the microphone has another.

const FRAME_S = 0.02; // of the microphone's frames
const LEVELS_PER_S = 20;
const ZERO_CROSSINGS = 16; // of the resampler's sinc, on each side: 60 dB of stop band
const PHASES = 256;
const ROLL_OFF = 0.92; // of the lower rate's band that passes
const FADE_S = 0.003; // at which `clear` fades out: a cut would click
const LEAST_BUFFER_S = 0.06;
const MOST_BUFFER_S = 0.2;
const GAP_S = 0.5; // audio that comes so soon after the buffer ran dry was late
const OUTAGE_S = 0.3; // without the microphone's samples, after which silence is sent in their place

/** Converts a stream of samples from one rate to another, with a windowed sinc. */
class Resampler {
  constructor(from, to) {
    this.step = from / to; // input samples an output sample
    const band = Math.min(1, to / from) * ROLL_OFF;
    this.half = from === to ? 0 : Math.ceil(ZERO_CROSSINGS / band);
    this.input = new Float32Array(this.half * 2 + 4096);
    this.filled = this.half; // silence before the first sample
    this.position = this.half;
    this.table = this.half ? Resampler.table(this.half, band) : null;
  }

  /** Weights by phase, then by tap; one phase more than there are, for the interpolation between two. */
  static table(half, band) {
    const taps = half * 2;
    const table = new Float32Array((PHASES + 1) * taps);
    for (let phase = 0; phase <= PHASES; phase++) {
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) {
        const x = tap - half + 1 - phase / PHASES; // distance to the output sample, in input samples
        const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / half) + 0.08 * Math.cos((2 * Math.PI * x) / half);
        const sinc = x === 0 ? 1 : Math.sin(Math.PI * x * band) / (Math.PI * x * band);
        sum += table[phase * taps + tap] = Math.abs(x) > half ? 0 : sinc * window;
      }
      for (let tap = 0; tap < taps; tap++) table[phase * taps + tap] /= sum;
    }
    return table;
  }

  /** Calls `emit(sample)` for each output sample that `samples` complete. */
  process(samples, emit) {
    if (!this.half) {
      for (const sample of samples) emit(sample);
      return;
    }
    const { half, step, table, input } = this;
    const taps = half * 2;
    for (let from = 0; from < samples.length; from += 4096) {
      const part = samples.subarray(from, from + 4096);
      input.set(part, this.filled);
      this.filled += part.length;
      let position = this.position;
      while (Math.floor(position) + half < this.filled) {
        const whole = Math.floor(position);
        const phase = (position - whole) * PHASES;
        const lower = Math.floor(phase);
        const blend = phase - lower;
        const first = whole - half + 1;
        let a = 0;
        let b = 0;
        for (let tap = 0, at = lower * taps; tap < taps; tap++, at++) {
          const sample = input[first + tap];
          a += sample * table[at];
          b += sample * table[at + taps];
        }
        emit(a + (b - a) * blend);
        position += step;
      }
      const spent = Math.max(0, Math.floor(position) - half + 1);
      input.copyWithin(0, spent, this.filled);
      this.filled -= spent;
      this.position = position - spent;
    }
  }
}

/** Keeps the loudest sample since it was last asked, at most 20 times a second. */
class Level {
  constructor() {
    this.peak = 0;
    this.due = 0;
  }

  take(sample) {
    const loudness = sample < 0 ? -sample : sample;
    if (loudness > this.peak) this.peak = loudness;
  }

  /** Whether it is time to report. */
  isDue() {
    if (currentTime < this.due) return false;
    this.due = currentTime + 1 / LEVELS_PER_S;
    return true;
  }

  read() {
    const peak = this.peak;
    this.peak = 0;
    return peak;
  }
}

const toInt16 = (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));

/** Posts `{audio}` (an ArrayBuffer of 20 ms at the call's rate) and `{level}`. */
class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.resampler = new Resampler(sampleRate, rate);
    this.size = Math.round(rate * FRAME_S);
    this.frame = new Int16Array(this.size);
    this.filled = 0;
    this.level = new Level();
    this.silence = new Float32Array(128);
    this.heardAt = currentTime;
    this.take = (sample) => this.add(sample);
  }

  add(sample) {
    this.level.take(sample);
    this.frame[this.filled++] = toInt16(sample);
    if (this.filled === this.size) {
      this.port.postMessage({ audio: this.frame.buffer }, [this.frame.buffer]);
      this.frame = new Int16Array(this.size);
      this.filled = 0;
    }
  }

  process([input]) {
    if (input.length) {
      this.heardAt = currentTime;
      this.resampler.process(input[0], this.take);
    } else if (currentTime - this.heardAt > OUTAGE_S) {
      this.resampler.process(this.silence, this.take); // a microphone that was pulled out: the call goes on
    }
    if (this.level.isDue()) this.port.postMessage({ level: this.level.read() });
    return true;
  }
}

/**
 * Plays what it is given after a short buffer, and reports what was played.
 *
 * Takes `{audio}` (an Int16Array at the call's rate), `{mark}`, `{clear}`, `{finish}` and `{latency}` in s. Posts
 * `{mark}` once all audio before it was heard, `{finished}` once all of it was, and about 20 times a second its state.
 */
class Speaker extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.rate = rate;
    this.resampler = new Resampler(rate, sampleRate);
    this.delay = Math.ceil(this.resampler.half / this.resampler.step); // of the resampler, in output samples
    this.latency = 0;
    this.queue = []; // Int16Arrays and marks, in order
    this.offset = 0; // into the first
    this.queued = 0; // samples in the queue
    this.playing = false;
    this.target = LEAST_BUFFER_S;
    this.waitingSince = 0;
    this.ranDryAt = -Infinity;
    this.due = []; // marks that were passed, with the time at which they are heard
    this.finishing = false;
    this.chunk = new Float32Array(64);
    this.output = new Float32Array(4096);
    this.ready = 0; // samples in `output`
    this.level = new Level();
    this.played = 0; // samples of the line that were played
    this.gaps = 0;
    this.emit = (sample) => {
      this.output[this.ready++] = sample;
    };
    this.port.onmessage = ({ data }) => this.handle(data);
  }

  handle({ audio, mark, clear, finish, latency }) {
    if (audio) this.add(audio);
    if (mark !== undefined) {
      if (this.queued) this.queue.push({ mark });
      else this.pass(mark);
    }
    if (clear) this.clear();
    if (finish) this.finishing = true;
    if (latency !== undefined) this.latency = latency;
  }

  add(audio) {
    if (!audio.length) return;
    if (!this.queued && !this.playing) {
      this.waitingSince = currentTime;
      if (currentTime - this.ranDryAt < GAP_S) {
        this.gaps++;
        this.target = Math.min(MOST_BUFFER_S, this.target + 0.02);
      }
    }
    this.queue.push(audio);
    this.queued += audio.length;
  }

  /** Drops all that was not played, but for a fade of 3 ms. */
  clear() {
    const fade = new Int16Array(this.playing ? Math.min(this.queued, Math.round(this.rate * FADE_S)) : 0);
    for (let n = 0; n < fade.length; n++) fade[n] = (this.next() * 32768 * (fade.length - n)) / fade.length;
    this.played -= fade.length; // counted again when they are
    this.queue = fade.length ? [fade] : [];
    this.queued = fade.length;
    this.offset = 0;
    this.ranDryAt = -Infinity;
  }

  /** Notes that all audio before a mark was taken: it is heard when the resampler and the device have passed it on. */
  pass(mark) {
    const now = currentTime + (this.ready + this.delay) / sampleRate;
    this.due.push({ mark, at: now + this.latency });
  }

  /** Takes the next sample of the queue, and the marks after it. */
  next() {
    const first = this.queue[0];
    const sample = first[this.offset++] / 32768;
    this.queued--;
    this.played++;
    if (this.offset === first.length) {
      this.queue.shift();
      this.offset = 0;
      while (this.queue.length && this.queue[0].mark !== undefined) this.pass(this.queue.shift().mark);
    }
    return sample;
  }

  /** Whether to play now: once enough is there, or it has waited long enough for more. */
  decide() {
    if (this.playing && !this.queued) {
      this.playing = false;
      this.ranDryAt = currentTime;
    } else if (!this.playing && this.queued) {
      const enough = this.queued >= this.target * this.rate || currentTime - this.waitingSince >= this.target;
      if (enough || this.finishing) this.playing = true;
    }
  }

  process(_inputs, [[left, ...others]]) {
    while (this.ready < left.length) {
      this.decide();
      for (let n = 0; n < this.chunk.length; n++) this.chunk[n] = this.playing && this.queued ? this.next() : 0;
      this.resampler.process(this.chunk, this.emit);
    }
    left.set(this.output.subarray(0, left.length));
    this.output.copyWithin(0, left.length, this.ready);
    this.ready -= left.length;
    for (const other of others) other.set(left);
    for (const sample of left) this.level.take(sample);
    while (this.due.length && this.due[0].at <= currentTime) this.port.postMessage({ mark: this.due.shift().mark });
    if (this.finishing && !this.queued && !this.due.length && currentTime > this.ranDryAt + this.latency + 0.1) {
      this.finishing = false;
      this.port.postMessage({ finished: true });
    }
    if (this.level.isDue()) {
      this.port.postMessage({
        level: this.level.read(),
        playedMs: Math.round((1000 * this.played) / this.rate),
        queuedMs: Math.round((1000 * this.queued) / this.rate),
        gaps: this.gaps,
      });
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
registerProcessor("speaker", Speaker);
