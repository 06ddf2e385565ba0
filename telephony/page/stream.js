// What is said, as it is said: the server's events, read on behind the last one that is kept, however often the connection breaks.

import { events, insist, pause, SILENCE, wait } from "./api.js";
import { createParser } from "./vendor/eventsource-parser.js";

/** What settles the question; any other refusal may be over when it is asked again. */
const FINAL = [200, 204, 404, 410];

/**
 * Read the events of a session until it is over; gives why ("ended" or "gone").
 *
 * `after()`: the place to read on from. `on.begin()`: a connection stands, what streamed before is void. `on.event(kind, place, data)`.
 * `on.caughtUp()`: all is there that was said before. `on.trouble(trouble)`: see `insist`.
 */
export async function follow(id, after, on, signal) {
  for (let tries = 0; ; tries += 1) {
    const watch = new Watch(signal);
    try {
      const reply = await insist(() => events(id, after(), watch.restarted(), signal), signal, on.trouble, (status) => !FINAL.includes(status));
      if (reply.status === 204) return "ended";
      if (reply.status !== 200) return "gone";
      on.begin();
      let heard = false;
      const caughtUp = () => {
        heard = true;
        on.caughtUp();
      };
      if (await read(reply.stream, watch, on.event, caughtUp)) return "ended";
      if (heard) tries = 0;
    } finally {
      watch.end();
    }
    signal.throwIfAborted();
    await pause(wait(tries), signal);
  }
}

/** Read one connection to its end, whatever ends it; gives whether the session has ended. */
async function read(stream, watch, onEvent, onComment) {
  let ended = false;
  const onOne = ({ event, id, data }) => {
    if (event === "ended") ended = true;
    else onEvent(event, id ?? null, JSON.parse(data));
  };
  const parser = createParser({ onEvent: onOne, onComment });
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (!ended) {
      const { done, value } = await reader.read();
      if (done) break;
      watch.feed();
      parser.feed(value);
    }
  } catch {
    // it broke off, or was silent for too long; what was read holds
  } finally {
    reader.cancel().catch(() => {});
  }
  return ended;
}

/** Gives a connection up that has been silent for too long: a sleeping laptop or a changed network break it without a word. */
class Watch {
  #outer;
  #inner = new AbortController();
  #over = new AbortController();
  #timer = 0;

  constructor(signal) {
    this.#outer = signal;
    addEventListener("online", () => this.#inner.abort(), { signal: this.#over.signal }); // what stood before leads nowhere now
  }

  /** A signal for a new connection, which has as long for its first byte. */
  restarted() {
    this.#inner = new AbortController();
    this.feed();
    return AbortSignal.any([this.#outer, this.#inner.signal]);
  }

  feed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#inner.abort(), SILENCE);
  }

  end() {
    clearTimeout(this.#timer);
    this.#over.abort();
    this.#inner.abort();
  }
}
