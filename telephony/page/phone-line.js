// The line to the server: a call's socket, and another one when that breaks. A call is lost with nothing but its hanging up.

const ADDRESS = new URL("../phone/call", import.meta.url.replace(/^http/, "ws"));
const DOOR = new URL("../phone", import.meta.url);

const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 5_000;

/** One call. `tell(event)` hears what happens: the server's events, `lost` and `back` of the line itself, and `refused`. */
export class Line {
  #tell;
  #to;
  #caller;
  #sid = null;
  #turn = null; // the last one that was seen
  #deed = null; // what was done last, until it is answered: {turn, message}
  #over = false;
  #tries = 0;
  #socket = null;
  #again = null; // tries anew, while there is a pause between two tries
  #left = new AbortController();

  constructor(to, caller, tell) {
    this.#tell = tell;
    this.#to = to;
    this.#caller = caller;
    addEventListener("online", () => this.#again?.(), { signal: this.#left.signal });
    this.#open();
  }

  /** Do something: press, say, wait. */
  do(message) {
    this.#deed = { turn: this.#turn, message };
    this.#send(message);
  }

  /** Hang up: where no server hears it now, the call is over here at once. */
  hangUp() {
    this.do({ do: "hang up" });
    if (this.#socket.readyState !== WebSocket.OPEN) this.#leave();
  }

  get #hangsUp() {
    return this.#deed?.message.do === "hang up";
  }

  #open() {
    this.#again = null;
    const socket = (this.#socket = new WebSocket(ADDRESS));
    socket.addEventListener("open", () => {
      const parties = { to: this.#to, caller: this.#caller };
      this.#send(this.#sid === null ? { do: "call", ...parties } : { do: "go on", ...parties, sid: this.#sid, turn: this.#turn });
      if (this.#hangsUp) this.#send(this.#deed.message);
    });
    socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
    socket.addEventListener("close", ({ code, reason }) => this.#closed(code, reason));
  }

  #hear(event) {
    if (event.event === "calling") this.#sid = event.sid;
    if (this.#tries > 0 && event.event === "webhook") {
      this.#tries = 0;
      this.#tell({ event: "back" });
    }
    if (event.event === "asked" || event.event === "recording") {
      this.#turn = event.turn ?? this.#turn;
      if (this.#hangsUp) return; // nobody answers any more
      const deed = this.#deed;
      this.#deed = null;
      this.#tell(event);
      if (deed !== null && deed.turn === event.turn) this.do(deed.message); // asked anew: it was not heard when the line broke
      return;
    }
    if (event.event === "deaf" && !this.#hangsUp) this.#deed = null;
    if (event.event === "hungup") this.#end();
    this.#tell(event);
  }

  async #closed(code, reason) {
    if (!this.#over && this.#hangsUp) this.#leave();
    if (this.#over) return;
    if (code === 1008) {
      this.#refuse(`The server does not take this: ${reason}.`);
      return;
    }
    this.#tries += 1;
    if (this.#tries === 1) this.#tell({ event: "lost" });
    const answer = await fetch(DOOR, { method: "HEAD", cache: "no-store" }).catch(() => null);
    if (this.#over) return;
    if (answer?.status === 403) {
      this.#refuse("The server does not let this page in any more: load it again.");
      return;
    }
    const pause = Math.min(FIRST_PAUSE * 1.7 ** (this.#tries - 1), LONGEST_PAUSE);
    const timer = setTimeout(() => this.#again?.(), pause);
    this.#again = () => {
      clearTimeout(timer);
      this.#open();
    };
  }

  /** The call is over for the person. The server is told as soon as there is one, if it knows of the call at all. */
  #leave() {
    const tell = this.#tell;
    this.#tell = () => {};
    if (this.#sid === null) {
      this.#end();
      this.#socket.close();
    }
    tell({ event: "hungup", reason: "caller" });
  }

  #end() {
    this.#over = true;
    this.#again = null;
    this.#left.abort();
  }

  #refuse(why) {
    this.#end();
    this.#tell({ event: "refused", why });
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
