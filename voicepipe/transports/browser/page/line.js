// The line to the engine: one WebSocket a call. Its messages are described in the reference page "Browser".

const PROTOCOL = 1;
const TRY_AGAIN_LATER = 1013; // close codes
const POLICY_VIOLATION = 1008;
const MOST_UNSENT_S = 5; // the connection is taken for dead if so much audio waits to be sent

/** The token of this page's address. It is all that follows `#token=`, so that one with `+` or `&` needs no escapes. */
export function tokenOf(address) {
  const { hash, search } = new URL(address);
  const given = /^#token=(.*)$/.exec(hash)?.[1] ?? /[?&]token=([^&]*)/.exec(search)?.[1] ?? "";
  try {
    return decodeURIComponent(given);
  } catch {
    return given;
  }
}

/** The bytes of a text in UTF-8, each as a character: what headers and base64 take. */
const bytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

const base64url = (text) => btoa(bytes(text)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** What the page's address says about the call: `?called=200&variables.tenant=acme`. */
export function detailsOf(address) {
  const details = { called: "", caller: "", variables: {} };
  for (const [name, value] of new URL(address).searchParams) {
    if (name === "called" || name === "caller") details[name] = value;
    if (name.startsWith("variables.")) details.variables[name.slice("variables.".length)] = value;
  }
  return details;
}

/** Asks whether a call would be taken: `{rate, transcript}`, or `{problem}` in words. */
export async function askForSession(token) {
  try {
    const answer = await fetch("session", {
      cache: "no-store",
      headers: token ? { Authorization: `Bearer ${bytes(token)}` } : {},
      signal: AbortSignal.timeout(5000),
    });
    const body = await answer.json();
    return answer.ok ? body : { problem: body.problem ?? `The engine answered ${answer.status}.` };
  } catch {
    return { problem: "The engine can't be reached. Is it running?", unreachable: true };
  }
}

/**
 * Opens a line for one call.
 *
 * Its handlers: `onStarted()`, `onAudio(ArrayBuffer)`, `onClear()`, `onMark(number)`, `onEvent(object)`, and one of these
 * at the end: `onHungUp()`, `onRefused(words)`, `onLost(line)`, of which `opened` and `started` say how far it came.
 */
export class Line {
  constructor(token, details, rate, handlers) {
    const address = new URL("call", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    address.search = "";
    this.handlers = handlers;
    this.mostUnsent = MOST_UNSENT_S * rate * 2;
    this.over = this.opened = this.started = false;
    // A page can't set headers, and a token in an address would be in the logs of proxies.
    this.socket = new WebSocket(address, token ? ["voicepipe", `token.${base64url(token)}`] : ["voicepipe"]);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      this.send({ type: "start", protocol: PROTOCOL, ...details });
    };
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = ({ code, reason }) => this.end(() => this.explain(code, reason));
  }

  take(data) {
    if (this.over) return;
    if (typeof data !== "string") {
      this.handlers.onAudio(data);
      return;
    }
    const message = JSON.parse(data);
    switch (message.type) {
      case "started":
        this.started = true;
        this.handlers.onStarted();
        break;
      case "clear":
        this.handlers.onClear();
        break;
      case "mark":
        this.handlers.onMark(message.mark);
        break;
      case "event":
        this.handlers.onEvent(message.event);
        break;
      case "hang_up":
        this.end(() => this.handlers.onHungUp());
        break;
      default: // of a later engine: a client need not know all messages
    }
  }

  /** Reports a line that was closed without a `hang_up`: a refusal has a code, a loss has none. */
  explain(code, reason) {
    if (code === TRY_AGAIN_LATER) this.handlers.onRefused("All lines are busy, or nobody is there to answer. Call again later.");
    else if (code === POLICY_VIOLATION) this.handlers.onRefused(`The engine did not understand this page: ${reason}.`);
    else this.handlers.onLost(this);
  }

  /** Sends a message; nothing is sent before the line is open, nor after its end. */
  send(message) {
    if (this.over || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
    if (this.socket.bufferedAmount > this.mostUnsent) {
      this.end(() => this.handlers.onLost(this));
    }
  }

  sendAudio(frame) {
    if (this.started) this.send(frame);
  }

  hangUp() {
    this.send({ type: "hang_up" });
    this.end(() => {});
  }

  end(report) {
    if (this.over) return;
    this.over = true;
    this.socket.close();
    report();
  }
}
