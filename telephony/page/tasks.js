// The tasks of the conversation: what runs, when it is due, and buttons that ask after it or call it off, in words that anyone could say.

import { plain } from "./words.js";

const MOST = 100;

/** Milliseconds between two questions to the tasks themselves, while somebody looks: each is woken by it. */
const LOOK_EVERY = 60_000;
const SETTLING = 1_500;

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
const moment = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/**
 * Shows the tasks; `say(text)` speaks for the user, `ask()` gives how each is doing, by its name.
 *
 * `words`: how a task is called off and asked after on this line, if it can be.
 */
export class Tasks {
  words = { cancel: null, status: null };
  #say;
  #ask;
  #doing = new Map();
  #asked = 0;
  #shown = "";
  #tasks = [];
  #panel = document.getElementById("tasks");
  #list = document.getElementById("tasks-list");
  #button = document.getElementById("tasks-button");
  #count = document.getElementById("tasks-count");
  #beside = matchMedia("(min-width: 74rem)");
  #open = this.#beside.matches;

  constructor(say, ask) {
    this.#say = say;
    this.#ask = ask;
    this.#button.addEventListener("click", () => this.#turn(!this.#open));
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#turn(false);
      this.#button.focus();
    });
    setInterval(() => document.hidden || this.#tick(), 1_000);
  }

  /** How many there are. */
  get count() {
    return this.#tasks.length;
  }

  /** Show what a workflow has noted of its tasks: a list of {name, kind, about, due}; of anything else what can be told. */
  show(noted) {
    const looks = JSON.stringify([noted, this.words]);
    if (looks === this.#shown) return;
    this.#shown = looks;
    this.#tasks = (Array.isArray(noted) ? noted : []).slice(0, MOST).map(read).filter((task) => task.name);
    this.#button.hidden = this.#tasks.length === 0;
    this.#count.textContent = this.#tasks.length || "";
    const focused = this.#panel.contains(document.activeElement);
    this.#list.replaceChildren(...this.#tasks.map((task) => this.#row(task)));
    this.#asked = Date.now() - LOOK_EVERY + SETTLING; // what has just begun has nothing to tell yet
    this.#turn(this.#open);
    if (focused) (this.#panel.hidden ? document.getElementById("words") : this.#list.querySelector("button") ?? this.#button).focus();
  }

  #turn(open) {
    this.#open = open;
    this.#panel.hidden = !open || this.#tasks.length === 0;
    this.#button.setAttribute("aria-expanded", String(!this.#panel.hidden));
    this.#tick();
  }

  #row(task) {
    const row = document.createElement("li");
    row.append(line("about", task.about || task.name), line("state", ""), line("doing", ""));
    const acts = document.createElement("div");
    acts.className = "acts";
    if (this.words.status) acts.append(this.#act("How is it?", `How is ${task.name}?`, this.words.status, task.name));
    if (this.words.cancel) acts.append(this.#act("Cancel", `Cancel ${task.name}`, this.words.cancel, task.name));
    if (acts.hasChildNodes()) row.append(acts);
    return row;
  }

  #act(label, spoken, words, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", spoken);
    button.addEventListener("click", () => {
      this.#say(words.replace("{name}", () => name));
      if (this.#beside.matches) return;
      this.#turn(false); // it lies over the answer
      this.#button.focus();
    });
    return button;
  }

  /** Time goes by. */
  #tick() {
    if (this.#panel.hidden) return;
    this.#tasks.forEach((task, index) => {
      const row = this.#list.children[index];
      write(row.querySelector(".state"), stateOf(task));
      write(row.querySelector(".doing"), doingOf(this.#doing.get(task.name)));
    });
    if (Date.now() >= this.#asked + LOOK_EVERY) this.#look();
  }

  async #look() {
    this.#asked = Date.now();
    this.#doing = await this.#ask();
  }
}

function read(task) {
  const given = typeof task === "object" && task !== null ? task : { name: task };
  const due = typeof given.due === "string" ? new Date(given.due) : null;
  return {
    name: typeof given.name === "string" ? plain(given.name) : "",
    kind: plain(given.kind),
    about: plain(given.about),
    due: due !== null && !Number.isNaN(due.getTime()) ? due : null,
  };
}

function stateOf({ kind, due }) {
  const what = kind && kind[0].toUpperCase() + kind.slice(1);
  const when = due && `${fromNow(due)}, ${moment.format(due)}`;
  return [what, when].filter(Boolean).join(" · ");
}

/** What a task says of itself: a price that was seen and why looking failed, or any text. */
function doingOf(task) {
  const { state, note } = task ?? {};
  if (state === "failed") return "It has failed";
  if (typeof note === "string") return plain(note);
  const told = [];
  if (note?.quote) told.push(`Last price ${plain(note.quote.price)} ${plain(note.quote.currency)}, from ${plain(note.quote.source)}`);
  if (note?.trouble) told.push(`Looking failed: ${plain(note.trouble)}`);
  return told.join(". ");
}

function fromNow(due) {
  const seconds = Math.round((due - Date.now()) / 1000);
  if (seconds <= 0) return "due now";
  const [unit, length] = UNITS.find(([, each]) => seconds >= each);
  return relative.format(Math.floor(seconds / length), unit);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function line(kind, text) {
  const element = document.createElement("p");
  element.className = kind;
  element.dir = "auto";
  element.textContent = text;
  return element;
}
