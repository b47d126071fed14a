// The softphone: a call from the press of a button to its end, and again if its connection is lost.

import { AudioProblem, openAudio, whyNoMicrophone } from "./audio.js";
import { Line, askForSession, detailsOf, tokenOf } from "./line.js";
import { CallView, flashKey, showClock, showLevel, showMuted, showProblem, showRate, showSound, showState, showTranscriptIsOff } from "./view.js";

const AGAIN_S = [1, 2, 4, 8, 8]; // before each attempt to call again; then it gives up
const REST_MS = 4000; // for what the agent said last, at most

const ENDINGS = {
  caller_hung_up: "You hung up",
  said_goodbye: "The agent said goodbye",
  agent_hung_up: "The agent hung up",
  transfer_requested: "The agent transferred you, which ends this line",
  idle: "Nobody spoke, so the agent hung up",
  max_length: "The call was as long as calls may be",
  no_audio: "No sound came from this page",
  drained: "The engine is being stopped",
  failed: "The agent can't go on: a part of it has failed",
};

const NEW_CALL = "The connection was lost, and that call is over. The next one is a new call: the agent knows nothing of this one.";

const phone = {
  audio: null,
  line: null,
  view: null,
  attempt: 0, // to call again, since the last call that was up
  redial: null, // the timer of the next
  ending: "",
  muted: false,
  startedAt: 0,
  clock: null,
  dialled: 0, // how often Call and Hang up were pressed: what an earlier press began is then dropped
};

const find = (id) => document.getElementById(id);

async function dial() {
  const press = ++phone.dialled;
  const isPast = () => press !== phone.dialled;
  phone.attempt = 0;
  showProblem("");
  const reason = whyNoMicrophone();
  if (reason) {
    stop("No microphone", reason);
    return;
  }
  showState("starting", "Asking for the microphone …");
  const asked = askForSession(tokenOf(location.href));
  try {
    const session = await asked;
    if (isPast()) return;
    if (session.problem) {
      stop("No call", session.problem);
      return;
    }
    const audio = await openAudio(session.rate, {
      onFrame: (frame) => phone.line?.sendAudio(frame),
      onMark: (mark) => phone.line?.send({ type: "mark", mark }),
      onLevels: (levels) => Object.entries(levels).forEach(([who, peak]) => showLevel(who, peak)),
      onState: showSound,
      onTrouble: showProblem,
    });
    if (isPast()) {
      await audio.close();
      return;
    }
    phone.audio = audio;
    phone.muted = false;
    showMuted(false);
    learn(session);
    connect(session.rate);
  } catch (error) {
    if (!isPast()) stop("No sound", error instanceof AudioProblem ? error.message : `Something failed: ${error.message}`);
  }
}

/** Shows what is known of calls here. */
function learn({ problem, rate, transcript }, complains = false) {
  if (problem && complains) showProblem(problem);
  if (rate) showRate(rate);
  if (transcript === false) showTranscriptIsOff();
}

function connect(rate) {
  showState("connecting", "Connecting …");
  phone.ending = "";
  phone.audio.clear();
  phone.line = new Line(tokenOf(location.href), detailsOf(location.href), rate, {
    onStarted: () => {
      phone.attempt = 0;
      phone.view = new CallView();
      phone.startedAt = performance.now();
      clearInterval(phone.clock);
      phone.clock = setInterval(() => showClock(performance.now() - phone.startedAt), 250);
      showClock(0);
      showState("up", "On a call");
    },
    onAudio: (buffer) => phone.audio.play(buffer),
    onClear: () => phone.audio.clear(),
    onMark: (mark) => phone.audio.mark(mark),
    onEvent: (event) => {
      if (event.type === "call_ended") phone.ending = ENDINGS[event.outcome] ?? "";
      phone.view.take(event);
    },
    onHungUp: async () => {
      const press = phone.dialled;
      await phone.audio.finish(REST_MS);
      if (press === phone.dialled) stop(phone.ending || "The agent hung up");
    },
    onRefused: (words) => stop("The call was not taken", words),
    onLost: (line) => lost(rate, line),
  });
}

/** A line that ended without a word: the same call can't go on, so it calls again, and says so. */
async function lost(rate, { opened, started }) {
  const press = phone.dialled;
  clearInterval(phone.clock);
  phone.audio.clear();
  showState("waiting", "Connection lost");
  const session = await askForSession(tokenOf(location.href)); // the browser tells no page why a WebSocket was refused
  if (press !== phone.dialled) return;
  if (session.problem && !session.unreachable) {
    stop("The call was not taken", session.problem);
    return;
  }
  if (started) showProblem(NEW_CALL);
  const busy = !opened && !session.problem;
  const wait = AGAIN_S[phone.attempt++];
  if (wait === undefined) {
    const reason = session.problem ?? "The engine closes the line before the call begins. Its log says why.";
    stop(busy ? "All lines are busy" : "No connection", busy ? "All lines are busy, or the engine is stopping. Call again later." : reason);
    return;
  }
  showState("waiting", `${busy ? "All lines are busy" : "Connection lost"}: calling again in ${wait} s`);
  phone.redial = setTimeout(() => connect(rate), wait * 1000);
}

function stop(words, problem = "") {
  phone.dialled++;
  clearTimeout(phone.redial);
  clearInterval(phone.clock);
  const { audio } = phone;
  phone.audio = phone.line = null;
  audio?.close();
  showLevel("you", 0);
  showLevel("agent", 0);
  showMuted(false);
  showState("idle", words);
  showProblem(problem);
}

function hangUp() {
  phone.line?.hangUp();
  stop("You hung up");
}

function mute() {
  phone.muted = !phone.muted;
  phone.audio.muted = phone.muted;
  showMuted(phone.muted);
}

function press(digit) {
  phone.line?.send({ type: "key", digit });
  flashKey(digit);
}

find("call").addEventListener("click", dial);
// The second click of a double click on Call falls on Hang up, which is then in its place.
find("hang-up").addEventListener("click", ({ detail }) => detail < 2 && hangUp());
find("mute").addEventListener("click", mute);
find("keypad").addEventListener("click", ({ target }) => target.value && press(target.value));
document.addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey, repeat }) => {
  if (document.body.dataset.state !== "up" || ctrlKey || metaKey || altKey || repeat) return;
  if (/^[0-9*#A-D]$/.test(key)) press(key);
  else if (key === "m" || key === "M") mute();
});
window.addEventListener("pagehide", () => phone.line?.hangUp());

showState("idle", "Ready");
const reason = whyNoMicrophone();
if (reason) showProblem(reason);
else {
  learn(await askForSession(tokenOf(location.href)), !phone.dialled);
}
