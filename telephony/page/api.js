// The web API (docs/web.md), as a browser speaks it: each request is sent again, the very same, until it is answered.

const SESSIONS = new URL("../web/sessions", import.meta.url).href;

/** Milliseconds for an answer: the server takes 25 seconds of them at most. */
const PATIENCE = 40_000;

/** Milliseconds without a byte of a stream, which has a comment every 15 seconds, before it is given up. */
export const SILENCE = 40_000;

/** What people are told in place of the server's words, which are for programs. */
const PASSING = { 429: "That was a lot at once.", 503: "The server cannot answer just now." };

const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 8_000;

/** The server does not answer: it or the network is away, or something between answers in its place. `seconds`: to be left in peace for. */
export class Unreachable extends Error {
  constructor(seconds = 0) {
    super();
    this.seconds = seconds;
  }
}

/** Open a session; whoever knows the key gets the same one. */
export function open(session, signal) {
  return post("", session.key, session.zone ? { timezone: session.zone } : {}, {}, signal);
}

/** Say something, once for each key; `wait`: for how many seconds the answer may be waited for, if not as long as the server likes. */
export function say(id, key, text, wait, signal) {
  return post(`/${id}/messages`, key, { text }, wait === null ? {} : { Prefer: `wait=${wait}` }, signal);
}

/** The stream of events behind a place, until `limited` gives it up or `signal` ends it all. */
export async function events(id, after, limited, signal) {
  const headers = after === null ? {} : { "Last-Event-ID": after };
  const response = await reach(`${SESSIONS}/${id}/events`, { headers, signal: limited }, signal);
  if (response.status === 204 || response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    return { status: response.status, stream: response.body };
  }
  const reply = await told(response, signal);
  if (response.ok) throw new Unreachable(); // somebody else's page
  return reply;
}

/** How the tasks of a session are doing, by their names; empty when that cannot be told now. */
export async function tasks(id, signal) {
  try {
    const { status, body } = await told(await reach(`${SESSIONS}/${id}/tasks`, { signal }, signal), signal);
    return new Map(status === 200 ? body.tasks.map((task) => [task.name, task]) : []);
  } catch (error) {
    if (error instanceof Unreachable) return new Map();
    throw error;
  }
}

/** What is suggested to say on the line of this page. */
export async function line(signal) {
  return told(await reach(new URL("line", import.meta.url), { signal }, signal), signal);
}

/** Ask until it is answered for good, as `passes` tells by the status; `tell` hears of the trouble (null: none any more). Gives {status, body}. */
export async function insist(request, signal, tell, passes = isPassing) {
  for (let tries = 0; ; tries += 1) {
    let trouble = { why: "", seconds: 0 };
    try {
      const reply = await request();
      if (!passes(reply.status)) {
        tell(null);
        return reply;
      }
      trouble = { why: PASSING[reply.status] ?? reply.body?.error ?? `The server answers with ${reply.status}.`, seconds: reply.seconds };
      if (reply.status === 409) trouble = { ...trouble, why: null }; // the line hears one message at a time, which is no trouble
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      trouble = { ...trouble, seconds: error.seconds };
    }
    if (tries > 0 && trouble.why !== null) tell(trouble); // a single hitch is not worth a word
    await pause(trouble.seconds * 1000 || wait(tries), signal);
  }
}

/** How long to wait before the next try, in milliseconds: longer each time, and not for everybody the same. */
export function wait(tries) {
  return Math.min(FIRST_PAUSE * 1.7 ** tries, LONGEST_PAUSE) * (0.8 + 0.4 * Math.random());
}

/** Wait; shorter when the network comes back or somebody looks at the page again. Rejects when the signal is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (outcome) => () => {
      clearTimeout(timer);
      over.abort();
      outcome(signal.reason);
    };
    const timer = setTimeout(end(resolve), milliseconds);
    addEventListener("online", end(resolve), { signal: over.signal });
    document.addEventListener("visibilitychange", () => document.hidden || end(resolve)(), { signal: over.signal });
    signal.addEventListener("abort", end(reject), { signal: over.signal });
    if (signal.aborted) end(reject)();
  });
}

async function post(path, key, body, more, signal) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key, ...more };
  const limited = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  const response = await reach(SESSIONS + path, { method: "POST", headers, body: JSON.stringify(body), signal: limited }, signal);
  return told(response, signal);
}

async function reach(url, options, signal) {
  try {
    return await fetch(url, { cache: "no-store", redirect: "error", ...options });
  } catch {
    signal.throwIfAborted();
    throw new Unreachable();
  }
}

/** A whole answer. One that breaks off is none, nor is one in other words than the server's: a proxy or a portal between has spoken. */
async function told(response, signal) {
  let text;
  try {
    text = await response.text();
  } catch {
    signal.throwIfAborted();
    throw new Unreachable();
  }
  const seconds = Number(response.headers.get("Retry-After")) || 0;
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Unreachable(seconds);
  }
  if (!response.ok && typeof body?.error !== "string") throw new Unreachable(seconds);
  return { status: response.status, body, seconds };
}

/** Whether the same request may be answered otherwise later. */
function isPassing(status) {
  return status >= 500 || [408, 409, 425, 429].includes(status);
}
