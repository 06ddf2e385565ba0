// The conversation of this browser: one of its tabs speaks with the server, all of them show what there is.
//
// Facts (what was said and written) go by what the browser keeps. What passes (streamed words, tasks, trouble) the leading tab tells the
// others. The tab that is looked at takes the lead, since browsers slow hidden ones down; when it is closed, another one leads. Where a
// browser has no locks (they need HTTPS or this very computer) each tab leads for itself, which costs connections and nothing else: a
// message that two tabs send is one message, by its key.

import { insist, open } from "./api.js";
import { isOpen } from "./kept.js";
import { deliver, settled } from "./outbox.js";
import { follow } from "./stream.js";

const NAME = `switchboard ${new URL("..", import.meta.url).pathname}`;

const NOTHING = { coming: [], tasks: [], trouble: null, caughtUp: false, refused: null };

/** Dispatches "now" when something that passes has changed: `now.coming` [step, text], `tasks`, `trouble`, `caughtUp`, `refused`. */
export class Conversation extends EventTarget {
  now = NOTHING;
  #kept;
  #tabs = new BroadcastChannel(NAME);
  #stop = new AbortController();
  #leads = false;

  constructor(kept) {
    super();
    this.#kept = kept;
    this.#tabs.onmessage = ({ data }) => {
      if (data !== "what?") this.#show(data);
      else if (this.#leads) this.#tabs.postMessage(this.now);
    };
  }

  /** Take part, from now on or again; `first`: take the lead from whoever has it. */
  async start(first) {
    if (first && this.#leads) return;
    this.stop();
    const { signal } = (this.#stop = new AbortController());
    this.#kept.reload(); // this tab may have slept while others wrote
    this.#tabs.postMessage("what?");
    try {
      if (navigator.locks) await navigator.locks.request(NAME, first ? { steal: true } : { signal }, () => this.#lead(signal));
      else await this.#lead(signal);
    } catch (error) {
      if (signal.aborted) return; // stopped
      if (error.name !== "AbortError") throw error;
      this.start(false); // another tab has taken the lead
    }
  }

  /** Leave it to the other tabs: this one is being put away or closed. */
  stop() {
    this.#leads = false;
    this.#stop.abort();
  }

  // -- leading --------------------------------------------------------------------------------------------------------------------------

  async #lead(signal) {
    this.#leads = true;
    for (;;) {
      this.#kept.reload(); // whoever led before may have written more than we were told
      if (this.#kept.session === null) this.#kept.begin();
      const { key } = this.#kept.session;
      const replaced = new AbortController();
      const watch = () => this.#kept.session?.key !== key && replaced.abort();
      this.#kept.addEventListener("change", watch);
      try {
        await this.#host(key, AbortSignal.any([signal, replaced.signal]));
      } catch (error) {
        if (!replaced.signal.aborted) throw error;
      } finally {
        this.#kept.removeEventListener("change", watch);
      }
      signal.throwIfAborted();
    }
  }

  /** Carry one session until another one takes its place. */
  async #host(key, signal) {
    this.#tell(NOTHING);
    const session = await this.#opened(key, signal);
    if (session === null) this.#tell({ caughtUp: true });
    else await this.#carry(session, signal);
    await new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (signal.aborted) reject(signal.reason);
    });
  }

  /** Read and send until the session is over, and then until every message that was written has its answer. */
  async #carry({ id, key, over }, signal) {
    if (over === "gone") return this.#conclude(key, over);
    const done = new AbortController();
    const both = AbortSignal.any([signal, done.signal]);
    const trouble = (where) => (what) => this.#trouble(where, what);
    const reading = over ?? follow(id, () => this.#kept.last, this.#listener(key, trouble("stream")), both);
    const sending = deliver(this.#kept, { id, key }, trouble("outbox"), both);
    try {
      const why = await Promise.race([reading, sending]);
      this.#conclude(key, why);
      if (why === "ended" && (await Promise.race([settled(this.#kept, both), sending])) === "gone") this.#conclude(key, "gone");
    } finally {
      done.abort();
      await Promise.allSettled([reading, sending]);
    }
    return undefined;
  }

  /** The session, opened if it is not; null if the server refuses to. */
  async #opened(key, signal) {
    if (this.#kept.session.id === null) {
      const reply = await insist(() => open(this.#kept.session, signal), signal, (what) => this.#trouble("outbox", what));
      if (reply.status === 422 && this.#kept.session.zone !== null) {
        this.#kept.note(key, { zone: null }); // the server does not know this time zone: that of the line will do
        return this.#opened(key, signal);
      }
      if (reply.status !== 201) {
        this.#tell({ refused: reply.body?.error ?? `The server answers with ${reply.status}.` });
        return null;
      }
      this.#kept.note(key, { id: reply.body.id, listening: reply.body.listening });
    }
    return this.#kept.session;
  }

  /** The session is over; what the server cannot be asked about any more stays to be read. */
  #conclude(key, why) {
    this.#kept.note(key, { over: why, listening: null });
    this.#tell({ coming: [], tasks: [], trouble: null, caughtUp: true });
    if (why !== "gone") return;
    for (const [name, sent] of this.#kept.sent) {
      if (isOpen(sent)) this.#kept.settle(name, sent.turn === null ? { fate: "refused", why: "The conversation is gone." } : { fate: "ended" });
    }
  }

  #listener(key, trouble) {
    return {
      trouble,
      begin: () => this.#tell({ coming: [] }),
      caughtUp: () => this.now.caughtUp || this.#tell({ caughtUp: true }),
      event: (kind, place, data) => {
        const coming = this.now.coming;
        if (kind === "partial") {
          const before = coming.find(([step]) => step === data.step);
          const text = (data.first ? "" : (before?.[1] ?? "")) + data.text;
          this.#tell({ coming: [...coming.filter((each) => each !== before), [data.step, text]] });
        } else if (kind === "listening") {
          this.#kept.note(key, { listening: data });
        } else if (kind === "tasks") {
          this.#tell({ tasks: data });
        } else if (place !== null) {
          this.#kept.hear(key, place, { kind, turn: data.turn, text: data.text, audio: data.audio });
          this.#tell({ coming: kind === "notice" ? coming : coming.filter(([, text]) => !data.text.startsWith(text.trimStart())) });
        }
      },
    };
  }

  // -- telling --------------------------------------------------------------------------------------------------------------------------

  #trouble(where, what) {
    const others = Object.fromEntries(Object.entries(this.now.trouble ?? {}).filter(([each]) => each !== where));
    const trouble = what === null ? others : { ...others, [where]: what.why };
    this.#tell({ trouble: Object.keys(trouble).length ? trouble : null });
  }

  #tell(changes) {
    this.#show({ ...this.now, ...changes });
    this.#tabs.postMessage(this.now);
  }

  #show(now) {
    this.now = now;
    this.dispatchEvent(new Event("now"));
  }
}
