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
MOST_BUTTONS = 25
MOST_LABEL = 75
MOST_VALUE = 2_000
MOST_ID = 255

Json = dict[str, Any]


def problem(args: Json, most: int) -> str:
    """Why Slack would not take a message; empty if it would."""
    text, blocks = args.get("text") or "", args.get("blocks") or []
    if not text.strip() and not blocks:
        return "no_text"
    if len(text) > most:
        return "msg_too_long"
    try:
        fits = len(blocks) <= MOST_BLOCKS and all(map(_fits, blocks))
        named = [block["block_id"] for block in blocks if "block_id" in block]
    except (LookupError, TypeError, AttributeError):
        return "invalid_blocks"
    if not fits or len(set(named)) < len(named):
        return "invalid_blocks"
    return "msg_blocks_too_long" if sum(len(json.dumps(each)) for each in blocks) > MOST_BLOCK_TEXT else ""


def _fits(block: Json) -> bool:
    """Whether Slack would take a block, of the kinds that the server uses."""
    if len(block.get("block_id", "")) > MOST_ID:
        return False
    match block["type"]:
        case "section":
            return 0 < len(block["text"]["text"]) <= MOST_SECTION
        case "context":
            return all(0 < len(each["text"]) <= MOST_SECTION for each in block["elements"])
        case "actions":
            buttons = block["elements"]
            return 0 < len(buttons) <= MOST_BUTTONS and all(
                0 < len(each["text"]["text"]) <= MOST_LABEL and len(each["value"]) <= MOST_VALUE and 0 < len(each["action_id"]) <= MOST_ID
                for each in buttons
            )
        case _:
            return False


def page(messages: list[Json], args: Json) -> Json:
    """The part of a list that was asked for; metadata only if that was asked for, too."""
    oldest, start, limit = str(args.get("oldest") or "0"), int(args.get("cursor") or 0), int(args.get("limit") or 100)
    found = [each for each in messages if float(each["ts"]) > float(oldest)]
    shown = found[start : start + limit]
    if str(args.get("include_all_metadata", "")).lower() not in ("1", "true"):
        shown = [{name: value for name, value in each.items() if name != "metadata"} for each in shown]
    cursor = str(start + limit) if len(found) > start + limit else ""
    return {"ok": True, "messages": shown, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}
