// The phone: a keypad and a handset for a call to this server.

import { clear, showHistory, showWebhook } from "./phone-behind.js";
import { Line } from "./phone-line.js";
import { Ear, Voice } from "./phone-voice.js";

const KEYS = [["1", ""], ["2", "ABC"], ["3", "DEF"], ["4", "GHI"], ["5", "JKL"], ["6", "MNO"], ["7", "PQRS"], ["8", "TUV"], ["9", "WXYZ"], ["*", ""], ["0", "+"], ["#", ""]];

/** Milliseconds after the last key, where it is not known how many there will be. */
const PAUSE = 2_500;

/** The most keys, and the most characters, that are sent at once. */
const MOST_KEYS = 64;
const MOST_TEXT = 1_000;

const $ = (id) => document.getElementById(id);
const [number, caller, words, log, caption, pressed, status, hint] = ["number", "caller", "words", "log", "caption", "pressed", "status", "hint"].map($);

let line = null; // the call, while there is one
let waiting = null; // what the phone waits for: an `asked` or a `recording`
let answered = null; // what it waited for last
let digits = "";
let timer = null;
let remark = ""; // what the status says instead of what is usual

const voice = new Voice();
const ear = new Ear(say, (on, trouble) => {
  $("listen").setAttribute("aria-pressed", String(on));
  hint.textContent = on ? "Listening …" : trouble;
});

for (const [key, letters] of KEYS) $("pad").append(keyButton(key, letters));
$("listen").hidden = !ear.possible;
$("aloud-row").hidden = !voice.possible;
$("aloud").checked = voice.on;
$("aloud").addEventListener("change", ({ target }) => (voice.on = target.checked));
$("call").addEventListener("click", call);
$("hang-up").addEventListener("click", hangUp);
$("listen").addEventListener("click", () => {
  voice.hush();
  ear.toggle(voice.locale);
});
$("silence").addEventListener("click", () => act({ do: "wait" }, "You say nothing"));
$("speak").addEventListener("submit", (event) => {
  event.preventDefault();
  say(words.value);
});
number.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || line !== null) return;
  event.preventDefault(); // or the same key would press the button that comes next
  call();
});
addEventListener("keydown", (event) => {
  if (event.target.matches("input, summary") || event.ctrlKey || event.altKey || event.metaKey) return;
  if (/^[0-9*#]$/.test(event.key)) press(event.key);
  else if (event.key === "Enter" && digits && !event.target.matches("button")) sendDigits();
  else if (event.key === "Backspace") correct();
});
show();

// -- doing -------------------------------------------------------------------------------------------------------------------------------

function call() {
  const to = party(number.value);
  const from = party(caller.value) || "anonymous";
  if (!isParty(to)) return tell("Type a number first, such as +15550100.");
  if (!isParty(from)) {
    $("more").open = true;
    caller.focus();
    return tell("Your own number is none: type one such as +12025550199, or nothing.");
  }
  clear();
  log.replaceChildren();
  caption.textContent = remark = hint.textContent = "";
  line = new Line(to, from, happen);
  add("note", `You call ${to}`);
  show();
  return $("hang-up").focus();
}

/** A number as people write it, as the server takes it. */
function party(text) {
  return text.replace(/[\s()/-]/g, "");
}

function isParty(text) {
  return /^[\w+:.@]{1,64}$/.test(text);
}

function hangUp() {
  voice.hush();
  setDigits("");
  waiting = answered = null;
  remark = "Hanging up …";
  line?.hangUp();
  show();
}

/** A key: of the number before a call, of an answer in it. */
function press(key) {
  tell("");
  if (line === null) {
    number.value += key;
    return;
  }
  voice.hush();
  if (waiting === null) return tell("The phone is not listening yet.");
  if (waiting.event === "recording") return act({ do: "press", keys: key }, `You press ${key}`);
  if (!waiting.keys) return tell("Only words are heard here.");
  setDigits(digits + key);
  if (digits.length === waiting.num_digits || digits.length === MOST_KEYS || (key === waiting.finish_on_key && digits.length > 1)) return sendDigits();
  timer = setTimeout(sendDigits, PAUSE);
  return undefined;
}

function correct() {
  if (line === null) number.value = number.value.slice(0, -1);
  else if (digits) {
    setDigits(digits.slice(0, -1));
    if (digits) timer = setTimeout(sendDigits, PAUSE);
  }
}

function sendDigits() {
  const keys = digits;
  setDigits("");
  if (keys && waiting !== null) act({ do: "press", keys }, `You press ${covered(keys)}`);
}

function say(text) {
  text = text.trim().slice(0, MOST_TEXT);
  text = text.toWellFormed?.() ?? text;
  if (!text) return;
  tell("");
  const heard = waiting !== null;
  if (line === null) tell("Call first.");
  else if (waiting === null) tell("The phone is not listening yet.");
  else if (waiting.event === "recording" || waiting.speech) act({ do: "say", text }, covered(text), "mine");
  else if (/^[0-9*#]+$/.test(text) && text.length <= MOST_KEYS) act({ do: "press", keys: text }, `You press ${covered(text)}`);
  else tell(`Only keys are heard here: 0 to 9, * and #, at most ${MOST_KEYS}.`);
  if (heard && waiting === null) words.value = "";
}

function act(deed, told, kind = "note mine") {
  if (line === null || waiting === null) return tell(line === null ? "Call first." : "The phone is not listening yet.");
  voice.hush();
  setDigits("");
  answered = waiting;
  waiting = null;
  add(kind, told);
  line.do(deed);
  return show();
}

// -- happening ---------------------------------------------------------------------------------------------------------------------------

function happen(event) {
  switch (event.event) {
    case "said":
      caption.textContent = event.text;
      add("said", event.text);
      voice.say(event.text);
      break;
    case "played":
      add("note", `A recording is played: ${event.url}`);
      break;
    case "paused":
      add("note", `${event.seconds} s of silence`);
      break;
    case "recorded":
      add("note", `Recorded, ${event.seconds} s`);
      break;
    case "dialled":
      add("note", `You are put through to ${event.number}: ${event.status}`);
      break;
    case "asked":
    case "recording":
      waiting = event;
      if (event.event === "recording") add("note", "Beep");
      break;
    case "webhook":
      showWebhook(event);
      break;
    case "history":
      voice.locale = event.locale ?? voice.locale;
      showHistory(event);
      break;
    case "deaf":
      waiting ??= answered;
      tell("That was not heard. Try again.");
      break;
    case "lost":
      setDigits("");
      waiting = answered = null;
      remark = "The line broke. Getting it back …";
      add("note", "The line broke");
      break;
    case "back":
      remark = "";
      add("note", "The line is back");
      break;
    case "hungup":
    case "refused":
      return over(event);
  }
  return show();
}

function over(event) {
  const why = (remark = event.why ?? ending(event));
  line = waiting = answered = null;
  setDigits("");
  caption.textContent = "";
  add(event.event === "refused" || event.reason === "error" ? "note bad" : "note", why);
  show();
  if (document.activeElement === document.body) $("call").focus();
}

function ending({ reason, detail }) {
  switch (reason) {
    case "caller":
      return "You hung up";
    case "hangup":
    case "end":
      return "The other side hung up";
    case "rejected":
      return `The call was not taken: ${detail}`;
    default:
      return `The call was dropped: ${detail}`;
  }
}

// -- showing -----------------------------------------------------------------------------------------------------------------------------

function show() {
  const inCall = line !== null;
  const focused = document.activeElement;
  $("call").hidden = inCall;
  $("hang-up").hidden = !inCall;
  if (focused?.hidden) (inCall ? $("hang-up") : $("call")).focus();
  number.readOnly = caller.readOnly = inCall;
  $("handset").classList.toggle("in-call", inCall);
  $("handset").classList.toggle("listening", waiting !== null);
  const text = remark || state();
  if (status.textContent !== text) status.textContent = text; // what is the same is not read out anew
  $("nothing").hidden = log.hasChildNodes();
}

function state() {
  if (line === null) return "Ready to call";
  if (waiting === null) return "In the call …";
  if (waiting.event === "recording") return "Recording: speak now";
  if (waiting.keys && waiting.speech) return "Your turn: keys or words";
  return waiting.keys ? "Your turn: keys" : "Your turn: words";
}

function setDigits(text) {
  clearTimeout(timer);
  digits = text;
  pressed.textContent = covered(text);
  $("digits").hidden = !text;
}

/** What is shown, and read out, of what the person presses. */
function covered(text) {
  return waiting?.secret ? "•".repeat(text.length) : text;
}

function tell(text) {
  hint.textContent = text;
}

function add(kind, text) {
  const followed = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
  const entry = document.createElement("p");
  entry.className = kind;
  entry.dir = "auto";
  entry.textContent = text;
  log.append(entry);
  if (followed) log.scrollTop = log.scrollHeight;
}

function keyButton(key, letters) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(key);
  button.setAttribute("aria-label", { "*": "star", "#": "hash" }[key] ?? key);
  if (letters) {
    const small = document.createElement("small");
    small.textContent = letters;
    button.append(small);
  }
  button.addEventListener("click", () => press(key));
  return button;
}
