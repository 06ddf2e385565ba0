// The browser's own voice and ear, where it has them.

const Recognition = window.SpeechRecognition ?? window.webkitSpeechRecognition;

const KEPT = "switchboard phone aloud";

/** Whether texts are read aloud, and the reading. */
export class Voice {
  /** As the line speaks. */
  locale = "en-GB";

  get possible() {
    return "speechSynthesis" in window;
  }

  get on() {
    return this.possible && kept() === "yes";
  }

  set on(on) {
    if (!on) this.hush();
    try {
      localStorage.setItem(KEPT, on ? "yes" : "no");
    } catch {
      // this browser keeps nothing
    }
  }

  say(text) {
    if (!this.on) return;
    const words = new SpeechSynthesisUtterance(text);
    words.lang = this.locale;
    speechSynthesis.speak(words);
  }

  hush() {
    if (this.possible) speechSynthesis.cancel();
  }
}

/** Hears one utterance at a time. `heard(text)` gets it, `changed(listening, trouble)` tells whether it listens. */
export class Ear {
  #now = null;
  #heard;
  #changed;

  constructor(heard, changed) {
    this.#heard = heard;
    this.#changed = changed;
  }

  get possible() {
    return Recognition !== undefined;
  }

  /** Begin to listen, or stop. */
  toggle(locale) {
    if (this.#now !== null) {
      this.#now.stop();
      return;
    }
    const now = (this.#now = new Recognition());
    now.lang = locale;
    let trouble = "";
    now.addEventListener("result", ({ results }) => this.#heard(results[0][0].transcript));
    now.addEventListener("error", ({ error }) => (trouble = error === "no-speech" ? "" : `The browser cannot listen: ${error}.`));
    now.addEventListener("end", () => {
      this.#now = null;
      this.#changed(false, trouble);
    });
    now.start();
    this.#changed(true, "");
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}
