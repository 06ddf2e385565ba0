// Where the user writes: a box that grows, a field for secret digits, and buttons where there is a choice.

import { plain } from "./words.js";

const DRAFT = "switchboard draft";

/** `say(text, secret)` speaks for the user. */
export class Composer {
  #say;
  #secret = false;
  #shown = "";
  #form = document.getElementById("composer");
  #words = document.getElementById("words");
  #digits = document.getElementById("secret");
  #options = document.getElementById("options");

  constructor(say) {
    this.#say = say;
    this.#words.value = draft() ?? this.#words.value;
    this.#words.addEventListener("input", () => this.#changed());
    this.#words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#changed();
  }

  /** Show what can be said: `listening` as the server tells it, null when nobody waits for anything in particular. */
  show(listening) {
    const looks = JSON.stringify(listening);
    if (looks === this.#shown) return;
    this.#shown = looks;
    const focused = [this.#words, this.#digits, this.#options].some((each) => each.contains(document.activeElement));
    this.#secret = listening?.kind === "digits" && listening.secret === true;
    this.#words.hidden = this.#secret;
    this.#digits.hidden = !this.#secret;
    this.#options.replaceChildren(...choices(listening).map((each) => this.#option(each)));
    this.#options.hidden = !this.#options.hasChildNodes();
    if (focused) this.focus(); // what had it may be gone
  }

  /** Take a text back, behind what is being written. */
  edit(text) {
    this.#words.value = [this.#words.value, text].filter(Boolean).join("\n");
    this.#changed();
    this.focus();
  }

  /** Begin with a text. */
  begin(text) {
    this.#words.value = text;
    this.#changed();
    this.focus();
  }

  focus() {
    (this.#secret ? this.#digits : this.#words).focus();
  }

  set hidden(hidden) {
    this.#form.hidden = hidden;
    if (hidden) this.#options.hidden = true;
  }

  #submit() {
    const field = this.#secret ? this.#digits : this.#words;
    if (!field.value.trim()) return;
    this.#say(field.value, this.#secret);
    field.value = "";
    this.#changed();
    field.focus();
  }

  /** What is half written outlives a refresh, in this tab. */
  #changed() {
    try {
      sessionStorage.setItem(DRAFT, this.#words.value);
    } catch {
      // this browser keeps nothing
    }
    if (CSS.supports("field-sizing", "content")) return;
    this.#words.style.height = "auto";
    this.#words.style.height = `${this.#words.scrollHeight}px`;
  }

  #option({ label, text }) {
    const button = document.createElement("button");
    button.type = "button";
    button.dir = "auto";
    button.textContent = label;
    button.addEventListener("click", () => {
      this.#say(text, false);
      this.focus();
    });
    return button;
  }
}

function choices(listening) {
  switch (listening?.kind) {
    case "choice":
      return listening.options.map(({ key, name }) => ({ label: plain(name) || plain(key), text: name || key }));
    case "yes_no":
      return [{ label: "Yes", text: "yes" }, { label: "No", text: "no" }];
    default:
      return [];
  }
}

function draft() {
  try {
    return sessionStorage.getItem(DRAFT);
  } catch {
    return null;
  }
}
