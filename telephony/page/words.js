// Text as people see it: markdown for what is said, and plain text for all else. Nothing here ever becomes markup of its own.

import { Marked } from "./vendor/marked.js";
import DOMPurify from "./vendor/purify.js";

/** Characters up to which a text is read as markdown, which may take time by their square: beyond, it is shown as it stands. */
const LONGEST = 4_000;

/** What a text may become. There are no images: they would tell their server who reads this, and when. */
const ALLOWED = {
  ALLOWED_TAGS: ["p", "br", "strong", "em", "del", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "a", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** How links lead out of here: the other page learns nothing of this one. */
export const OUTSIDE = { target: "_blank", rel: "noopener noreferrer nofollow" };

const markdown = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escaped(text),
    heading({ tokens }) {
      return `<p><strong>${this.parser.parseInline(tokens)}</strong></p>`;
    },
    image({ href, text }) {
      return `<a href="${escaped(href)}">${escaped(text || href)}</a>`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/** What was said, as nodes. */
export function spoken(text) {
  const words = plain(text);
  if (words.length > LONGEST) return asItStands(words);
  let fragment;
  try {
    fragment = DOMPurify.sanitize(markdown.parse(words), ALLOWED);
  } catch {
    return asItStands(words); // it is nested too deeply to be meant
  }
  for (const link of fragment.querySelectorAll("a")) {
    if (link.hasAttribute("href")) Object.assign(link, OUTSIDE);
    else link.replaceWith(...link.childNodes); // it led where nobody shall go
  }
  for (const wide of fragment.querySelectorAll("pre, table")) {
    const frame = document.createElement("div");
    frame.className = "wide-thing";
    frame.tabIndex = 0; // whoever has no mouse scrolls it by the arrow keys
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", wide.matches("pre") ? "Code" : "Table");
    wide.replaceWith(frame);
    frame.append(wide);
  }
  for (const block of fragment.querySelectorAll("p, li, blockquote, th, td")) block.dir = "auto";
  return fragment;
}

/** A text without the control characters that nobody can see. */
export function plain(text) {
  return String(text ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

/** A text that is not read as markdown: a long one, or one that is coming still, which would be read again with each word. */
export function asItStands(words) {
  const paragraph = document.createElement("p");
  paragraph.dir = "auto";
  paragraph.className = "as-it-stands";
  paragraph.textContent = words;
  const fragment = document.createDocumentFragment();
  fragment.append(paragraph);
  return fragment;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
