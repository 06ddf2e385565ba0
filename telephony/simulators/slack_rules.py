"""What Slack's Web API takes and gives, as far as it can be told from a call alone: limits of messages, and pages of lists.

https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/apis/web-api/pagination; that all blocks together have about
13,000 characters at most is told nowhere, but was found by others.
"""

import json
from typing import Any

MOST_TEXT = 40_000
MOST_UPDATE = 4_000
MOST_SECTION = 3_000
MOST_BLOCKS = 50
MOST_BLOCK_TEXT = 13_000

Json = dict[str, Any]


def problem(args: Json, most: int) -> str:
    """Why Slack would not take a message; empty if it would."""
    text, blocks = args.get("text") or "", args.get("blocks") or []
    if not text.strip() and not blocks:
        return "no_text"
    if len(text) > most:
        return "msg_too_long"
    if len(blocks) > MOST_BLOCKS or len({each["block_id"] for each in blocks if "block_id" in each}) < sum(
        "block_id" in each for each in blocks
    ):
        return "invalid_blocks"
    for block in blocks:
        elements = block.get("elements", ())
        if len(block.get("text", {}).get("text", "")) > MOST_SECTION or len(elements) > 25 or len(block.get("block_id", "")) > 255:  # noqa: PLR2004 - Slack's
            return "invalid_blocks"
        for button in elements if block["type"] == "actions" else ():
            if not 0 < len(button["text"]["text"]) <= 75 or len(button["value"]) > 2000:  # noqa: PLR2004 - Slack's
                return "invalid_blocks"
    return "msg_blocks_too_long" if sum(len(json.dumps(each)) for each in blocks) > MOST_BLOCK_TEXT else ""


def page(messages: list[Json], args: Json) -> Json:
    """The part of a list that was asked for; metadata only if that was asked for, too."""
    oldest, start, limit = str(args.get("oldest") or "0"), int(args.get("cursor") or 0), int(args.get("limit") or 100)
    found = [each for each in messages if float(each["ts"]) > float(oldest)]
    shown = found[start : start + limit]
    if str(args.get("include_all_metadata", "")).lower() not in ("1", "true"):
        shown = [{name: value for name, value in each.items() if name != "metadata"} for each in shown]
    cursor = str(start + limit) if len(found) > start + limit else ""
    return {"ok": True, "messages": shown, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}
