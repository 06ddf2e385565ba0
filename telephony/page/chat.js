// The chat page: puts together what is kept, what happens, and what is seen of it.

import { insist, line, tasks as asked } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { isOpen, isUnsent, Kept } from "./kept.js";
import { Log } from "./log.js";
import { Tasks } from "./tasks.js";

const TITLE = document.title;

const kept = new Kept();
const conversation = new Conversation(kept);
const composer = new Composer(say);
const log = new Log(kept, (text) => composer.edit(text));
const never = new AbortController().signal;
const tasks = new Tasks(say, () => asked(kept.session.id, never));

const welcome = document.getElementById("welcome");
const examples = document.getElementById("examples");
const trouble = document.getElementById("trouble");
const over = document.getElementById("over");
const overWords = document.getElementById("over-words");
const overButton = document.getElementById("over-button");
const newButton = document.getElementById("new-button");
const sure = document.getElementById("sure");

let refused = null; // why the server has no conversation for this page
let unseen = 0; // notices that came while nobody looked
let planned = false;

kept.addEventListener("change", ({ detail: name }) => {
  if (document.hidden && conversation.now.caughtUp && name?.startsWith("said ") && kept.fact(name)?.kind === "notice") unseen += 1;
  plan();
});
conversation.addEventListener("now", plan);
addEventListener("online", plan);
addEventListener("offline", plan);
addEventListener("beforeunload", (event) => kept.isAtRisk && event.preventDefault());
addEventListener("pagehide", () => conversation.stop());
addEventListener("pageshow", (event) => event.persisted && conversation.start(true));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  conversation.start(true);
  plan();
});
newButton.addEventListener("click", askForNew);
overButton.addEventListener("click", () => (kept.session?.over ? startNew() : location.reload()));
sure.addEventListener("close", () => sure.returnValue === "yes" && startNew());

plan();
conversation.start(!document.hidden);
suggest();
if (matchMedia("(pointer: fine)").matches) composer.focus();

function say(text, secret = false) {
  kept.write(text.toWellFormed?.() ?? text, secret);
  scrollTo({ top: document.documentElement.scrollHeight });
}

// -- showing -----------------------------------------------------------------------------------------------------------------------------

/** Show all anew, once for however many changes: in a hidden tab, too, so not by animation frames. */
function plan() {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    show();
  });
}

function show() {
  const { now } = conversation;
  const session = kept.session;
  const troubled = now.trouble !== null || !navigator.onLine;
  const sent = kept.sent;
  const waiting = sent.some(([, each]) => isOpen(each));
  const why = overFor(session) ?? (session?.id ? null : (refused ?? now.refused));
  log.show(now, troubled);
  tasks.show(why === null ? now.tasks : []);
  const listening = why === null ? (session?.listening ?? null) : null;
  composer.show(waiting && !listening?.secret ? null : listening); // what is secret stays so, whatever else is on its way
  composer.hidden = why !== null;
  welcome.hidden = sent.length > 0 || why !== null;
  examples.hidden = sent.length > 0 || why !== null || !examples.querySelector("button");
  newButton.hidden = why !== null;
  showTrouble(now.trouble, troubled && why === null);
  showEnd(why, session);
  document.title = unseen > 0 ? `(${unseen}) ${TITLE}` : TITLE;
}

function showTrouble(what, troubled) {
  const reason = Object.values(what ?? {}).find(Boolean);
  let text = "";
  const hope = kept.isAtRisk ? "What you write is only in this tab: do not close it. It is" : "What you write is kept here, and";
  if (troubled && reason) text = `${reason} This page tries again by itself.`;
  else if (troubled) text = `${navigator.onLine ? "The server does not answer" : "You are offline"}. ${hope} sent when the connection is back.`;
  if (trouble.textContent !== text) trouble.textContent = text;
}

function showEnd(why, session) {
  if (over.hidden === (why !== null)) over.hidden = why === null;
  if (why === null || overWords.textContent === why) return;
  overWords.textContent = why;
  overButton.textContent = session?.over ? "Start a new conversation" : "Try again";
  if (document.activeElement === document.body) overButton.focus({ preventScroll: true });
}

function overFor(session) {
  switch (session?.over ?? null) {
    case "ended":
      return "This conversation has ended.";
    case "gone":
      return "The server no longer has this conversation. What you read here is kept in this browser alone.";
    default:
      return null;
  }
}

// -- beginning anew ----------------------------------------------------------------------------------------------------------------------

function askForNew() {
  if (kept.sent.length === 0) return startNew();
  const unsent = kept.sent.filter(([, each]) => isUnsent(each)).length;
  const dropped = { 0: "", 1: "One message has not been sent, and will not be. " }[unsent] ?? `${unsent} messages have not been sent, and will not be. `;
  const running = tasks.count === 1 ? "A task is still running, and its notice" : `${tasks.count} tasks are still running, and their notices`;
  const left = tasks.count ? `${running} will not reach you here any more. ` : "";
  document.getElementById("sure-words").textContent = `${dropped}${left}What was said here is let go by this browser.`;
  sure.returnValue = "no";
  return sure.showModal();
}

function startNew() {
  kept.begin();
  scrollTo({ top: 0 });
  composer.hidden = false;
  composer.focus();
}

// -- what one may say --------------------------------------------------------------------------------------------------------------------

async function suggest() {
  const { status, body } = await insist(() => line(never), never, () => {});
  if (status !== 200) refused = body?.error ?? `The server answers with ${status}.`;
  else {
    tasks.words = body;
    examples.querySelector("ul").replaceChildren(...body.examples.map(example));
  }
  plan();
}

function example(text) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", () => composer.begin(text));
  item.append(button);
  return item;
}
