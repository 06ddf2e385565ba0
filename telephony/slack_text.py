"""What is said, in Slack's own markup, and in pieces that Slack takes (SL6).

Markdown, as language models write it, is read by a real parser and written as mrkdwn (https://docs.slack.dev/messaging/formatting-message-text).
All else is escaped, so that nothing that is said can ping anybody: a mention is `<!channel>` or `<@U…>`, and no `<` gets through but
that of a link with a harmless scheme.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

MOST = 3_000
"""Characters of a piece: what a section holds; a message's own text holds more, an update's 4,000."""

MOST_ADDRESS = 1_000

REMEMBERED = (100, 300)
"""So many texts, of so many characters at most, are rendered once: greetings and questions are said again and again."""

_SCHEMES = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
_FENCE = "```"
_CUTS = ("\n\n", "\n", ". ", "! ", "? ", " ")

_NOT_MEANT = ["code", "html_block", "html_inline", "lheading", "reference"]
"""Rules of Markdown that make something of what was said plainly: indented lines, lines above others, lines that would not be shown."""

_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(_NOT_MEANT)


def escape(text: str) -> str:
    """Text that means nothing to Slack but itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(address: str, label: str) -> str:
    """A link, if the address is one that is harmless to follow; else its label, which is markup already."""
    if not _SCHEMES.match(address) or len(address) > MOST_ADDRESS:
        return label
    safe = quote(address, safe="%/:=&?~#+!$,;'@()*[]").replace("&", "&amp;")
    words = " ".join(label.replace("|", "¦").split())
    return f"<{safe}|{words}>" if words and words != safe else f"<{safe}>"


def pieces(markdown: str) -> tuple[str, ...]:
    """A text as mrkdwn, in pieces of at most `MOST` characters, at least one: cut between paragraphs, else lines, sentences, words."""
    return _remembered(markdown) if len(markdown) <= REMEMBERED[1] else _rendered(markdown)


def _rendered(markdown: str) -> tuple[str, ...]:
    found: list[str] = []
    for block in _blocks(SyntaxTreeNode(_markdown.parse(markdown)), strong=False):
        for part in _cut(block):
            if found and len(found[-1]) + len(part) + 2 <= MOST:
                found[-1] += f"\n\n{part}"
            else:
                found.append(part)
    return tuple(found) or ("…",)


_remembered = lru_cache(REMEMBERED[0])(_rendered)


def beginning(markdown: str) -> str:
    """A text that is still being said, as far as it fits into one piece."""
    return f"{_clipped(pieces(markdown[:MOST])[0])} …"


# -- blocks --------------------------------------------------------------------------------------------------------------------------------


def _blocks(node: SyntaxTreeNode, *, strong: bool) -> Iterator[str]:
    for child in node.children:
        block = _block(child, strong=strong)
        if block.strip():
            yield block


def _block(node: SyntaxTreeNode, *, strong: bool) -> str:
    match node.type:
        case "paragraph":
            return _inside(node, strong=strong)
        case "heading":
            return _marked("*", _inside(node, strong=True)) if not strong else _inside(node, strong=True)
        case "bullet_list" | "ordered_list":
            start = int(node.attrs.get("start", 1))
            marks = [f"{number}." if node.type == "ordered_list" else "•" for number in range(start, start + len(node.children))]
            return "\n".join([_item(mark, item, strong=strong) for mark, item in zip(marks, node.children, strict=True)])
        case "blockquote":
            quoted = "\n\n".join(_blocks(node, strong=strong))
            return "\n".join([f"> {line}".rstrip() for line in quoted.split("\n")])
        case "fence" | "code_block":
            return f"{_FENCE}\n{_code(node.content)}\n{_FENCE}"
        case "table":
            return _table(node)
        case "hr":
            return "———"
        case _:
            return _inside(node, strong=strong)


def _item(mark: str, item: SyntaxTreeNode, *, strong: bool) -> str:
    text = "\n".join(_blocks(item, strong=strong))
    return f"{mark} " + text.replace("\n", "\n    ")


def _table(node: SyntaxTreeNode) -> str:
    """Slack has no tables: a text in columns."""
    rows = [[_code(_plain(cell)) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" | ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip() for row in rows]
    return "\n".join([_FENCE, lines[0], "-" * len(lines[0]), *lines[1:], _FENCE])


def _code(text: str) -> str:
    return escape(text.rstrip("\n").replace(_FENCE, "'''"))


# -- inside a block ------------------------------------------------------------------------------------------------------------------------


def _inside(node: SyntaxTreeNode, *, strong: bool) -> str:
    return "".join([_inline(child, strong=strong) for child in node.children])


def _inline(node: SyntaxTreeNode, *, strong: bool) -> str:
    match node.type:
        case "text":
            return escape(node.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case "code_inline":
            return _marked("`", escape(node.content.replace("`", "'")))
        case "strong":
            return _inside(node, strong=True) if strong else _marked("*", _inside(node, strong=True))
        case "em":
            return _marked("_", _inside(node, strong=strong))
        case "s":
            return _marked("~", _inside(node, strong=strong))
        case "link":
            return link(str(node.attrs.get("href", "")), _inside(node, strong=strong))
        case "image":
            return link(str(node.attrs.get("src", "")), escape(_plain(node)) or "image")
        case _:
            return _inside(node, strong=strong)


def _marked(mark: str, text: str) -> str:
    """Slack's marks hold within a line, and not around space."""
    return "\n".join([f"{mark}{line.strip()}{mark}" if line.strip() else line for line in text.split("\n")])


def _plain(node: SyntaxTreeNode) -> str:
    return node.content if not node.children else "".join([_plain(child) for child in node.children])


# -- pieces --------------------------------------------------------------------------------------------------------------------------------


def _cut(block: str) -> Iterator[str]:
    """A block in parts that fit; code keeps its fences in each."""
    fenced = block.startswith(_FENCE) and len(block) > MOST
    body = block.removeprefix(f"{_FENCE}\n").removesuffix(f"\n{_FENCE}") if fenced else block
    room = MOST - 2 * len(_FENCE) - 2 if fenced else MOST
    while body:
        part = body if len(body) <= room else _clipped(body, room, _CUTS[1:2] if fenced else _CUTS)
        body = body[len(part) :]
        part = part.strip("\n") if fenced else part.strip()
        if part:
            yield f"{_FENCE}\n{part}\n{_FENCE}" if fenced else part


def _clipped(text: str, room: int = MOST - 2, cuts: tuple[str, ...] = ()) -> str:
    """The beginning of a text that fits; no entity and no link is cut in two."""
    if len(text) <= room:
        return text
    for cut in cuts:
        at = text.rfind(cut, room // 2, room)
        if at > 0 and text.rfind("<", 0, at) <= text.rfind(">", 0, at):
            return text[: at + len(cut)]
    at = room
    if (begun := text.rfind("<", 0, at)) > text.rfind(">", 0, at) and begun > 0:
        at = begun
    if (begun := text.rfind("&", max(at - 5, 0), at)) > 0 and ";" not in text[begun:at]:
        at = begun
    return text[:at]
