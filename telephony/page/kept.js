// What this browser keeps of the conversation, for all of its tabs, through refreshes and crashes.
//
// Each fact is an item of its own in localStorage: the session, each output that was said, each message that was written. So tabs never
// overwrite each other's, and none has to ask another. The names: "session", "said <conversation> <place>", "sent <conversation> <time>
// <key>"; what a tab writes late to a conversation that another one has let go is nobody's.

const PREFIX = `switchboard ${new URL("..", import.meta.url).pathname} `;

/** A message of the user: until it has a turn it is not on the server's record, until it has a fate it has no answer. */
export const isUnsent = (sent) => sent.turn === null && sent.fate === null;
export const isOpen = (sent) => sent.fate === null;

/** Whether the server has heard it: what it has not may be wanted again. */
const isHeard = (sent) => !isOpen(sent) && !["refused", "ended"].includes(sent.fate);

/** Facts, by name. Dispatches "change" with the name of what has changed, or null when it may be anything. */
export class Kept extends EventTarget {
  #facts = new Map();
  #unstored = new Set(); // the names of those that only this tab has
  #storage = usable();
  #lasts = new Map(); // the last place of each conversation
  #lists = new Map(); // what was made of the facts, until they change

  constructor() {
    super();
    this.reload();
    addEventListener("storage", (event) => {
      if (event.key === null) this.reload();
      else if (event.key.startsWith(PREFIX)) this.#take(event.key.slice(PREFIX.length), event.newValue);
    });
  }

  /** Read all anew: this tab may have slept while others wrote. */
  reload() {
    if (this.#storage === null) return;
    const mine = [...this.#facts].filter(([name]) => this.#unstored.has(name));
    this.#facts.clear();
    this.#lasts.clear();
    for (const [name, fact] of mine) this.#put(name, fact);
    for (let index = 0; index < this.#storage.length; index += 1) {
      const key = this.#storage.key(index);
      if (key.startsWith(PREFIX)) this.#read(key.slice(PREFIX.length), this.#storage.getItem(key));
    }
    this.#tell(null);
  }

  // -- the session ----------------------------------------------------------------------------------------------------------------------

  /** `key`: what creates it; `zone`: the user's; then `id`, `listening`, and why it is `over`. */
  get session() {
    return this.#facts.get("session") ?? null;
  }

  /** Let all go and begin a new conversation, in the time zone that the browser tells. */
  begin() {
    for (const name of [...this.#facts.keys()]) if (name !== "session") this.#forget(name);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? null;
    this.#set("session", { key: randomKey(), zone, id: null, listening: null, over: null });
  }

  /** Note what has become of the session, if it is still the one of that key. */
  note(key, changes) {
    if (this.session?.key === key) this.#set("session", { ...this.session, ...changes });
  }

  // -- what was said --------------------------------------------------------------------------------------------------------------------

  /** An output of the session of that key, by its place ("12.0"), the id of its event: {kind, turn, text, audio}. */
  hear(key, place, said) {
    this.#set(`said ${brief(key)} ${place}`, said);
  }

  /** A fact, by its name. */
  fact(name) {
    return this.#facts.get(name) ?? null;
  }

  /** The last place that is known, to read on behind it. */
  get last() {
    return this.session === null ? null : (this.#lasts.get(brief(this.session.key)) ?? null);
  }

  // -- what was written -----------------------------------------------------------------------------------------------------------------

  /** A message of the user, to be sent: kept before anything else is done with it. */
  write(text, secret = false) {
    if (this.session === null) this.begin();
    const after = Number(this.last?.split(".")[0] ?? -1);
    const before = Number(this.sent.at(-1)?.[0].split(" ")[2] ?? 0);
    const at = Math.max(Date.now(), before + 1); // their order, whatever becomes of the clock
    const name = `sent ${brief(this.session.key)} ${String(at).padStart(15, "0")} ${randomKey()}`;
    this.#set(name, { text, secret, after, turn: null, fate: null, why: "" });
  }

  /** Messages, oldest first, as [name, message]. */
  get sent() {
    return this.#list("sent", () => this.#all("sent").sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  /** Whether this tab alone has a fact: a refresh would lose it. */
  isHereOnly(name) {
    return this.#unstored.has(name);
  }

  /** Whether a refresh would lose words that are still to be sent. */
  get isAtRisk() {
    return this.sent.some(([name, sent]) => isUnsent(sent) && this.isHereOnly(name));
  }

  /** Note what has become of a message; secret digits are not kept longer than they are needed. */
  settle(name, changes) {
    const before = this.#facts.get(name);
    if (before === undefined) return;
    const sent = { ...before, ...changes };
    if (sent.secret && sent.fate !== null) sent.text = "•".repeat([...sent.text].length);
    this.#set(name, sent);
  }

  drop(name) {
    this.#forget(name);
    this.#tell(name);
  }

  /** Everything that is to be seen, in its order, as [name, fact]. */
  get transcript() {
    const rank = ([name, fact]) => (name.startsWith("said ") ? lastOf(name).split(".").map(Number) : [fact.turn ?? fact.after + 0.5, -1]);
    return this.#list("transcript", () =>
      [...this.#all("said"), ...this.sent]
        .map((entry) => [rank(entry), entry])
        .sort(([one], [other]) => one[0] - other[0] || one[1] - other[1])
        .map(([, entry]) => entry),
    );
  }

  // -- storage --------------------------------------------------------------------------------------------------------------------------

  /** The facts of a kind, of the present conversation. */
  #all(kind) {
    if (this.session === null) return [];
    const beginning = `${kind} ${brief(this.session.key)} `;
    return [...this.#facts].filter(([name]) => name.startsWith(beginning));
  }

  #list(name, make) {
    if (!this.#lists.has(name)) this.#lists.set(name, make());
    return this.#lists.get(name);
  }

  #put(name, fact) {
    this.#facts.set(name, fact);
    const [kind, conversation, place] = name.split(" ");
    if (kind === "said" && byPlace(this.#lasts.get(conversation) ?? "-1.0", place) < 0) this.#lasts.set(conversation, place);
  }

  #set(name, fact) {
    const text = JSON.stringify(fact);
    if (JSON.stringify(this.#facts.get(name)) === text) return;
    this.#put(name, fact);
    this.#store(name, text);
    this.#tell(name);
  }

  /** When the storage is full, the oldest of what was said and heard leaves it, never what is still to be sent. This tab goes on showing it. */
  #store(name, text) {
    this.#unstored.add(name);
    if (this.#storage === null) return;
    let oldest = null;
    for (;;) {
      try {
        this.#storage.setItem(PREFIX + name, text);
        this.#unstored.delete(name);
        return;
      } catch {
        oldest ??= this.#dispensable();
        const leaving = oldest.splice(0, 20);
        if (leaving.length === 0) return;
        for (const each of leaving) {
          this.#unstored.add(each);
          this.#storage.removeItem(PREFIX + each);
        }
      }
    }
  }

  /** The names of what can leave the storage, oldest first. */
  #dispensable() {
    return this.transcript
      .filter(([name, fact]) => !this.#unstored.has(name) && (name.startsWith("said ") || isHeard(fact)))
      .map(([name]) => name);
  }

  #forget(name) {
    this.#facts.delete(name);
    this.#unstored.delete(name);
    this.#storage?.removeItem(PREFIX + name);
  }

  #take(name, text) {
    if (text === null) this.#facts.delete(name);
    else this.#read(name, text);
    this.#tell(name);
  }

  #read(name, text) {
    try {
      this.#put(name, JSON.parse(text));
    } catch {
      this.#storage.removeItem(PREFIX + name); // it is none of ours
    }
  }

  #tell(name) {
    if (name?.startsWith("said ")) this.#lists.delete("transcript");
    else this.#lists.clear();
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }
}

/** What a fact's name ends with: the place of an output, the key of a message. */
export const lastOf = (name) => name.split(" ").at(-1);

/** A conversation's name among the facts: some of the key that created its session. */
const brief = (key) => key.slice(0, 8);

/** The order of places: "9.1" before "10.0". */
function byPlace(one, other) {
  const [a, b] = [one, other].map((place) => place.split(".").map(Number));
  return a[0] - b[0] || a[1] - b[1];
}

/** 192 random bits: what creates a session is worth as much as its id. */
function randomKey() {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(24)))).replaceAll("+", "-").replaceAll("/", "_");
}

/** The storage of this site, also when it is full; null where the browser gives none: then a tab is all that the conversation lasts. */
function usable() {
  try {
    return window.localStorage ?? null;
  } catch {
    return null;
  }
}
