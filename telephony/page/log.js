// The conversation as it is read, from top to bottom: what is kept, then the words that are coming in.

import { isOpen, isUnsent } from "./kept.js";
import { asItStands, OUTSIDE, plain, spoken } from "./words.js";

/** Pixels from the end within which a reader is taken to follow what is said. */
const NEAR = 160;

/** Shows what is kept and what is coming. `edit(text)`: the user takes a message back to write it anew. */
export class Log {
  #kept;
  #edit;
  #shown = new Map(); // elements, by the names of their facts
  #placed = null; // what was shown last
  #coming = new Map(); // by step
  #log = document.getElementById("log");
  #streamed = document.getElementById("coming");
  #typing = document.getElementById("typing");
  #down = document.getElementById("down");

  constructor(kept, edit) {
    this.#kept = kept;
    this.#edit = edit;
    this.#down.addEventListener("click", () => toEnd("smooth"));
    addEventListener("scroll", () => isNearEnd() && (this.#down.hidden = true), { passive: true });
  }

  /** Show all as it is now; `waits`: messages cannot be sent at present. */
  show({ coming, caughtUp }, waits) {
    const followed = isNearEnd();
    const entries = this.#kept.transcript;
    const looks = [entries, waits];
    let grown = this.#placed?.every((each, index) => each === looks[index]) ? false : this.#place(entries, waits);
    this.#placed = looks;
    grown = this.#stream(coming) || grown;
    const sent = entries.filter(([name]) => name.startsWith("sent "));
    const open = sent.some(([, fact]) => isOpen(fact));
    this.#typing.hidden = !open || waits || coming.length > 0;
    if (caughtUp) setTimeout(() => this.#log.setAttribute("aria-live", "polite")); // what was there before is not read out anew
    if (grown && followed && sent.length > 0) toEnd("instant");
    else if (grown && caughtUp) this.#down.hidden = isNearEnd();
  }

  /** Bring the elements into the order of the facts; gives whether there are new ones. */
  #place(entries, waits) {
    let grown = false;
    let next = this.#log.firstElementChild;
    const left = new Set(this.#shown.keys());
    for (const [name, fact] of entries) {
      left.delete(name);
      let element = this.#shown.get(name);
      if (element === undefined) {
        element = name.startsWith("said ") ? said(fact) : words("mine", "You said: ");
        this.#shown.set(name, element);
        grown = true;
      }
      if (name.startsWith("sent ")) this.#mark(element, name, fact, waits);
      if (element === next) next = next.nextElementSibling;
      else this.#log.insertBefore(element, next);
    }
    for (const name of left) {
      this.#shown.get(name).remove();
      this.#shown.delete(name);
    }
    return grown;
  }

  /** Words that are coming are not read aloud piece by piece: the whole is, when it is there. */
  #stream(coming) {
    const before = new Map(this.#coming);
    let grown = false;
    for (const [step, text] of coming) {
      let element = before.get(step);
      before.delete(step);
      if (element === undefined) {
        element = words("said");
        this.#streamed.append(element);
        this.#coming.set(step, element);
      }
      if (element.dataset.text !== text) {
        element.dataset.text = text;
        element.querySelector(".text").replaceChildren(asItStands(plain(text)));
        grown = true;
      }
    }
    for (const [step, element] of before) {
      element.remove();
      this.#coming.delete(step);
    }
    return grown;
  }

  /** Show what has become of a message, in its place: an element that is put there anew is read out anew. */
  #mark(element, name, sent, waits) {
    const text = element.querySelector(".text");
    const written = plain(sent.text);
    if (text.textContent !== written) text.textContent = written;
    const isLost = sent.fate === "refused" || sent.fate === "ended";
    element.classList.toggle("waiting", isUnsent(sent));
    element.classList.toggle("held", isUnsent(sent) && waits);
    element.classList.toggle("refused", isLost);
    const fate = element.querySelector(".fate");
    const news = fateOf(sent, waits, this.#kept.isHereOnly(name));
    if ((fate?.firstChild.data ?? "") === news) return;
    fate?.remove();
    if (news) element.append(fated(news, isLost && !sent.secret ? [this.#again(name, sent)] : []));
  }

  #again(name, sent) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Write it anew";
    button.addEventListener("click", () => {
      this.#kept.drop(name);
      this.#edit(sent.text);
    });
    return button;
  }
}

function said({ kind, text, audio }) {
  const element = words(kind === "notice" ? "notice" : "said", kind === "notice" ? "" : "Switchboard said: ");
  const body = element.querySelector(".text");
  if (kind === "notice") {
    const label = document.createElement("p");
    label.className = "kind";
    label.textContent = "Notice";
    element.prepend(label);
  }
  if (audio && /^https?:/i.test(audio)) {
    const link = document.createElement("a");
    Object.assign(link, OUTSIDE, { href: audio, textContent: "Listen to the recording" });
    body.append(link);
  } else body.append(spoken(text));
  return element;
}

function words(kind, speaker = "") {
  const element = document.createElement("div");
  element.className = `words ${kind}`;
  if (speaker) {
    const who = document.createElement("span");
    who.className = "unseen";
    who.textContent = speaker;
    element.append(who);
  }
  const text = document.createElement("div");
  text.className = "text";
  text.dir = "auto";
  element.append(text);
  return element;
}

function fated(news, more) {
  const fate = document.createElement("p");
  fate.className = "fate";
  fate.append(news, ...more);
  return fate;
}

/** What has become of a message, in words, where that is not plain to see; `hereOnly`: a refresh would lose it. */
function fateOf(sent, waits, hereOnly) {
  if (isUnsent(sent) && waits && hereOnly) return "Only in this tab, and sent as soon as that is possible: do not close it";
  if (isUnsent(sent)) return waits ? "Kept here, and sent as soon as that is possible" : "Sending …";
  switch (sent.fate) {
    case "kept":
      return "On record: it will be taken up later";
    case "refused":
      return `Not sent. ${sent.why}`;
    case "ended":
      return "The conversation was over before this was heard.";
    case "failed":
      return "On record, but it could not be answered";
    default:
      return "";
  }
}

function isNearEnd() {
  return innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR;
}

function toEnd(behavior) {
  scrollTo({ top: document.documentElement.scrollHeight, behavior });
}
