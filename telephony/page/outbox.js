// Brings the user's messages to the server: one after another, in their order, each once, however often it has to be sent.

import { insist, pause, say } from "./api.js";
import { isOpen, isUnsent, lastOf } from "./kept.js";

/** Seconds that a message may wait for its answer before it counts as sent and the next one goes. */
const BRIEF = 1;

/**
 * Send what is written and see to it that each message gets its answer, also when the session has ended, until the server has it no
 * longer (`gone`).
 *
 * What is said and what is listened for come by the stream; of the answers only the fate of the message is taken, for they may be late.
 */
export async function deliver(kept, session, tell, signal) {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const loops = [each(isUnsent, BRIEF), each((sent) => isOpen(sent) && !isUnsent(sent), null)];
  try {
    return await Promise.race(loops);
  } finally {
    over.abort();
    await Promise.allSettled(loops);
  }

  async function each(isNext, patience) {
    for (;;) {
      const [name, sent] = kept.sent.find(([, message]) => isNext(message)) ?? [];
      if (name === undefined) {
        await changed(kept, either);
        continue;
      }
      const reply = await insist(() => say(session.id, lastOf(name), sent.text, patience, either), either, tell);
      if (reply.status === 404) return "gone";
      settle(kept, name, reply);
      if (reply.status === 202) await pause(patience === null ? 1_000 : 0, either);
    }
  }
}

/** Wait until every message has its answer. */
export async function settled(kept, signal) {
  while (kept.sent.some(([, sent]) => isOpen(sent))) await changed(kept, signal);
}

/** Note what became of a message. */
function settle(kept, name, { status, body }) {
  switch (status) {
    case 200:
      kept.settle(name, { turn: body.turn, fate: body.status });
      break;
    case 202:
      kept.settle(name, { turn: body.turn });
      break;
    case 410:
      kept.settle(name, { fate: "ended" });
      break;
    default:
      kept.settle(name, { fate: "refused", why: body?.error ?? `The server answers with ${status}.` });
  }
}

/** Wait until anything that is kept changes. */
function changed(kept, signal) {
  return new Promise((resolve, reject) => {
    const options = { once: true, signal };
    kept.addEventListener("change", resolve, options);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    if (signal.aborted) reject(signal.reason);
  });
}
