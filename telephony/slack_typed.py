"""What people type into Slack, told as they meant it: Slack's markup of names, channels and links is taken out again.

https://docs.slack.dev/messaging/formatting-message-text
"""

import re
import unicodedata

_SPECIAL = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")


def plain(text: str, me: str) -> str:
    """What was typed, without Slack's markup: our own name goes, as do the marks around others, channels and links."""

    def spelt(found: re.Match[str]) -> str:
        mark, target, label = found[1], found[2], found[3]
        match mark:
            case "@":
                return "" if target == me else f"@{label or target}"
            case "#":
                return f"#{label or target}"
            case "!":
                return label or "@" + target.partition("^")[0]
            case _:
                address = target.removeprefix("mailto:")
                return f"{label} ({target})" if label and label not in (target, address) else address

    return visible(unescape(_SPECIAL.sub(spelt, text)))


def unescape(text: str) -> str:
    """What Slack escapes is these three characters, and no others."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def visible(text: str) -> str:
    """A text without the control characters that nobody can have meant, nor space around it."""
    return "".join([each for each in text if each in "\n\t" or unicodedata.category(each) != "Cc"]).strip()
