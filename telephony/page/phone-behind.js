// What is behind the call: the webhooks with their TwiML, and the history as it grows.

const twiml = document.getElementById("twiml");
const history = document.getElementById("history");
const waits = document.getElementById("waits");
const session = document.getElementById("session");

/** Begin with a new call. */
export function clear() {
  twiml.replaceChildren();
  history.replaceChildren();
  history.hidden = true;
  waits.textContent = session.textContent = "";
  document.getElementById("no-twiml").hidden = document.getElementById("no-history").hidden = false;
}

/** Show a webhook and its answer; the last document is open. */
export function showWebhook({ method, path, fields, status, text }) {
  document.getElementById("no-twiml").hidden = true;
  const details = document.createElement("details");
  if (text) for (const each of twiml.children) each.open = false;
  details.open = Boolean(text);
  const summary = element("summary", "", element("code", "", `${method} ${path}`), element("span", status === 200 || status === 204 ? "fine" : "bad", String(status)));
  const sent = element("dl", "");
  for (const [name, value] of fields) sent.append(element("dt", "", name), element("dd", "", value));
  details.append(summary, sent);
  if (text) details.append(markup(text));
  twiml.prepend(details);
}

/** Show a session's history anew. */
export function showHistory({ session: key, state, moments, waits_for: open, trouble }) {
  document.getElementById("no-history").hidden = true;
  history.hidden = false;
  session.textContent = state;
  session.title = key;
  const known = history.children.length;
  history.replaceChildren(...moments.map(moment));
  for (const item of [...history.children].slice(known)) item.classList.add("new");
  history.scrollTop = history.scrollHeight;
  waits.textContent = trouble || (open.length ? `It waits for ${open.join("; ")}.` : "");
  waits.classList.toggle("bad", Boolean(trouble));
}

function moment({ position, at, what, taken_by: taker, said }) {
  const time = element("time", "", at.slice(11, 19));
  time.dateTime = at;
  const item = element("li", "", time, element("span", "", what));
  item.value = position;
  if (taker) item.append(element("span", "taker", `→ ${taker}`));
  for (const words of said) item.append(element("span", "spoken", words));
  return item;
}

/** A document, indented, with its tags in another colour. */
function markup(text) {
  const pre = element("pre", "");
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", "TwiML");
  let depth = 0;
  let bare = true; // nothing but tags so far in this element
  for (const piece of text.match(/<[^>]*>|[^<]+/g) ?? []) {
    const closes = piece.startsWith("</");
    if (closes) depth -= 1;
    if (!piece.startsWith("<")) {
      pre.append(piece);
      bare = false;
      continue;
    }
    if (bare || !closes) pre.append(pre.hasChildNodes() ? `\n${"  ".repeat(Math.max(depth, 0))}` : "");
    pre.append(element("span", "tag", piece));
    bare = closes || piece.endsWith("/>") || piece.startsWith("<?");
    if (!closes && !piece.endsWith("/>") && !piece.startsWith("<?")) {
      depth += 1;
      bare = true;
    }
  }
  return pre;
}

function element(name, kind, ...content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}
