// What the page shows. All text is set as text: nothing that a caller or a model says is ever taken for HTML.

const element = (id) => document.getElementById(id);

/** Makes an element with text and children. */
function make(name, { className = "", text = "" } = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

export function showState(state, words) {
  const focused = document.activeElement?.id;
  document.body.dataset.state = state;
  element("status").textContent = words;
  const busy = state !== "idle";
  element("call").hidden = busy;
  element("hang-up").hidden = !busy;
  // A button that is hidden loses the focus, and a reader its place.
  if (focused === "call" && busy) element("hang-up").focus();
  if (focused === "hang-up" && !busy) element("call").focus();
  element("mute").disabled = state !== "up";
  for (const key of element("keypad").children) key.disabled = state !== "up";
}

export function showProblem(words) {
  element("problem").textContent = words;
  element("problem").hidden = !words;
}

export function showClock(ms) {
  const whole = Math.floor(ms / 1000);
  element("clock").textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function showMuted(muted) {
  element("mute").setAttribute("aria-pressed", String(muted));
  element("mute").textContent = muted ? "Unmute" : "Mute";
  element("you-level").classList.toggle("muted", muted);
}

/** Shows a level from 0 to 1 on a scale of 60 dB, as loudness is heard. */
export function showLevel(who, peak) {
  const percent = peak < 0.001 ? 0 : Math.round(100 * (1 + Math.log10(peak) / 3));
  const meter = element(`${who}-level`);
  meter.firstElementChild.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
  meter.setAttribute("aria-valuenow", String(percent));
}

export function showSound({ playedMs, queuedMs, gaps }) {
  element("played").textContent = `${(playedMs / 1000).toFixed(1)} s`;
  element("queued").textContent = `${queuedMs} ms`;
  element("gaps").textContent = String(gaps);
}

export function showRate(rate) {
  element("rate").textContent = `${rate / 1000} kHz, 16-bit`;
}

/** Says what is to be seen in place of the words: nothing yet, or nothing at all. */
export function showTranscriptIsOff() {
  element("empty").textContent = "Nothing is shown of a call here: the listener's transcript is off.";
  element("facts").dataset.off = "";
}

export function flashKey(digit) {
  const key = [...element("keypad").children].find(({ value }) => value === digit);
  key?.classList.add("pressed");
  setTimeout(() => key?.classList.remove("pressed"), 150);
}

/** Both sides' words of a call, and the facts about it, from its events. */
export class CallView {
  constructor() {
    this.log = element("transcript");
    this.caller = null; // the caller's words that no turn has taken up yet
    this.turns = new Map(); // by number: {caller, agent}
    this.responses = [];
    this.log.replaceChildren();
    element("empty").hidden = false;
    element("announced").textContent = "";
    element("answered").replaceChildren();
    element("turns").replaceChildren();
    element("response").hidden = true;
  }

  take(event) {
    this[event.type]?.(event); // of a later engine: a page need not know all events
  }

  call_began({ pipeline, set, version, stt, llm, tts, call_id }) {
    const facts = { Pipeline: pipeline, Version: `${version} of ${set}`, Listens: stt, Thinks: llm, Speaks: tts, Call: call_id };
    for (const [name, value] of Object.entries(facts)) {
      if (value) element("answered").append(make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
    }
  }

  transcribed({ text, final }) {
    const words = this.callersWords();
    words.current = text;
    if (final) {
      words.done = [...words.done, text].filter(Boolean);
      words.current = "";
    }
    this.showCaller(words);
  }

  dtmf_received({ digit }) {
    const words = this.callersWords();
    words.done.push(digit);
    this.showCaller(words);
  }

  reply_started({ turn, response_ms }) {
    const entry = this.turn(turn);
    if (response_ms !== null) this.showResponse(entry, response_ms);
  }

  reply_continued({ turn, text }) {
    this.showAgent(this.turn(turn), text);
  }

  turn_ended({ turn, heard, said, interrupted, response_ms, timings }) {
    if (heard || said) {
      const entry = this.turn(turn);
      if (heard && !entry.caller) entry.caller = this.addBefore(entry.agent);
      if (entry.caller) this.setText(entry.caller.item, heard);
      entry.caller?.item.classList.remove("passing");
      if (said || entry.agent) {
        this.showAgent(entry, said);
        entry.agent.classList.remove("passing");
        entry.agent.classList.toggle("interrupted", interrupted);
        if (interrupted) entry.agent.append(make("small", { text: said ? "interrupted here" : "interrupted before a word was heard" }));
      }
      if (response_ms !== null) this.showResponse(entry, response_ms);
      // A reader is told of whole turns: to hear each word as it changes would drown the call.
      element("announced").textContent = [heard && `You: ${heard}.`, said && `Agent: ${said}`].filter(Boolean).join(" ");
    }
    if (response_ms !== null) this.addTurn(turn, response_ms, timings);
  }

  tool_started({ name }) {
    this.note(`Using ${name} …`);
  }

  tool_ended({ name, ok, seconds: took }) {
    this.note(ok ? `${name} took ${took.toFixed(1)} s` : `${name} failed`);
  }

  failed_over({ role, rung }) {
    const part = { stt: "recogniser", llm: "model", tts: "voice" }[role] ?? role;
    this.note({ retry: `The ${part} failed and is tried again`, alternate: `The ${part} failed; another takes over` }[rung] ?? `The ${part} failed`);
  }

  // --- Entries of the log ---

  note(text) {
    this.add(make("li", { className: "note", text }));
  }

  add(item, before = null) {
    const { log } = this;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    element("empty").hidden = true;
    if (before) before.before(item);
    else log.append(item);
    if (atEnd) log.scrollTop = log.scrollHeight;
    return item;
  }

  entry(who, before = null) {
    const item = make("li", { className: `${who} passing` }, make("b", { text: who === "you" ? "You" : "Agent" }), make("p"));
    return this.add(item, before);
  }

  addBefore(agent) {
    return { item: this.entry("you", agent), done: [], current: "" };
  }

  callersWords() {
    this.caller ??= { item: null, done: [], current: "" };
    return this.caller;
  }

  showCaller(words) {
    const text = [...words.done, words.current].filter(Boolean).join(" ");
    if (!words.item && text) words.item = this.entry("you");
    if (words.item) this.setText(words.item, text);
  }

  showAgent(entry, text) {
    entry.agent ??= this.entry("agent");
    this.setText(entry.agent, text);
  }

  setText(item, text) {
    const { log } = this;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    item.querySelector("p").textContent = text;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  /** The entries of a turn; a new one takes up what the caller has said and pressed until now. */
  turn(number) {
    let entry = this.turns.get(number);
    if (!entry) {
      entry = { caller: this.caller?.item ? this.caller : null, agent: null };
      this.caller = null;
      this.turns.set(number, entry);
    }
    return entry;
  }

  // --- Response times ---

  showResponse(entry, ms) {
    entry.agent ??= this.entry("agent");
    const head = entry.agent.querySelector("b");
    head.querySelector("span")?.remove();
    head.append(make("span", { text: `after ${seconds(ms)}` }));
  }

  addTurn(turn, ms, { asked_ms, first_token_ms }) {
    this.responses.push(ms);
    const asked = Math.min(asked_ms ?? ms, ms);
    const thought = Math.min(Math.max(first_token_ms ?? asked, asked), ms);
    const parts = { listening: asked, thinking: thought - asked, speaking: ms - thought };
    const bar = make("span", { className: "bar" });
    bar.setAttribute("aria-hidden", "true");
    for (const [name, part] of Object.entries(parts)) {
      const piece = make("i", { className: name });
      piece.style.flexGrow = String(Math.round(part));
      bar.append(piece);
    }
    const item = make("li", {}, make("span", { className: "number", text: `Turn ${turn}` }), bar, make("span", { text: seconds(ms) }));
    item.title = `${Math.round(asked)} ms until the turn was over, ${Math.round(thought - asked)} ms model, ${Math.round(ms - thought)} ms voice`;
    item.dataset.ms = String(ms);
    element("turns").append(item);
    element("response").hidden = false;
    const longest = Math.max(...this.responses);
    for (const each of element("turns").children) {
      each.querySelector(".bar").style.setProperty("--share", String(Number(each.dataset.ms) / longest));
    }
    const sorted = [...this.responses].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    element("median").textContent = `median ${seconds(median)}`;
  }
}
