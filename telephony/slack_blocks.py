"""What a delivery looks like in Slack: texts, buttons for what can be answered, and what is left of them when one was pressed."""

from collections.abc import Sequence
from typing import Any

import msgspec

from handlers.deliveries import Delivery
from handlers.errands import is_notice
from telephony.slack_text import escape, link, pieces
from telephony.slack_wire import Press
from telephony.web_wire import reply
from workflows.events import Prompt
from workflows.listen import Choice, YesNo
from workflows.outputs import Play, Say

Block = dict[str, Any]

BUTTONS_IN_BLOCK = 25
MOST_BUTTONS = 100
MOST_LABEL = 75
MOST_VALUE = 2_000
MOST_BLOCK_ID = 250

NOTICE = ":bell: *Notice*"
"""Above what is said later and unprompted, to set it apart from the conversation around it."""

WAITING = ":hourglass_flowing_sand: One moment …"
SORRY = "Sorry, something went wrong here, and I could not answer that. Please try again later."
PASSED = "That question has been passed already. Please answer the last one, or write."


class Look(msgspec.Struct, frozen=True):
    """A message as Slack renders it: `text` as mrkdwn; where there are `blocks`, it is what notifications show."""

    text: str
    blocks: tuple[Block, ...] = ()


def looks(delivery: Delivery) -> list[Look]:
    """The messages of a delivery: one or, where it is long, several; buttons are below the last one."""
    texts = _texts(delivery)
    found: list[Look] = []
    for number, text in enumerate(texts):
        notice = [_context(NOTICE)] if not number and unprompted(delivery) else []
        below = _buttons(delivery.prompt, part_key(delivery.key, number)) if delivery.prompt and number == len(texts) - 1 else []
        found.append(Look(text, (*notice, _section(text), *below) if notice or below else ()))
    return found


def unprompted(delivery: Delivery) -> bool:
    """Whether nobody has just asked for this: it is said later, or comes of an errand."""
    return not delivery.answers or is_notice(delivery.turn)


def part_key(key: str, number: int) -> str:
    """The key of one of a delivery's messages, counted from 0."""
    return f"{key}#{number}" if number else key


def used(press: Press) -> Look:
    """The message of a button that was pressed: in the place of its question's buttons stands what was chosen, and by whom."""
    return _without_buttons(press, f":white_check_mark: *{escape(press.label)}* (<@{press.user}>)")


def passed(press: Press) -> Look:
    """The message of a button whose question was passed: without its buttons."""
    return _without_buttons(press, ":heavy_minus_sign: _answered in another way_")


def _without_buttons(press: Press, words: str) -> Look:
    blocks = [block for block in press.message.blocks if block.get("type") != "actions"]
    return Look(press.message.text or words, (*blocks, _context(words)))


def _texts(delivery: Delivery) -> Sequence[str]:
    match delivery.output:
        case Say(text=text):
            return pieces(text)
        case Play(url=url):
            return [link(url, escape(url))]
        case output:
            return pieces(reply(output)["text"])


def _buttons(prompt: Prompt, key: str) -> list[Block]:
    """A button's block names the question by its delivery's key, its action the place among the buttons, its value what is heard."""
    match prompt.listen:
        case Choice() as choice:
            options = choice.labels()
        case YesNo():
            options = [("1", "Yes"), ("2", "No")]
        case _:
            return []
    options = [(value, label) for value, label in options[:MOST_BUTTONS] if 0 < len(value) <= MOST_VALUE]
    if len(key) > MOST_BLOCK_ID:
        return []  # the answer can be written all the same
    buttons = [
        {"type": "button", "action_id": str(index), "value": value, "text": {"type": "plain_text", "text": _label(label or value)}}
        for index, (value, label) in enumerate(options)
    ]
    starts = range(0, len(buttons), BUTTONS_IN_BLOCK)
    return [{"type": "actions", "block_id": f"{key}~{start}", "elements": buttons[start : start + BUTTONS_IN_BLOCK]} for start in starts]


def _label(text: str) -> str:
    return text if len(text) <= MOST_LABEL else text[: MOST_LABEL - 1] + "…"


def _section(text: str) -> Block:
    return {"type": "section", "expand": True, "text": {"type": "mrkdwn", "text": text}}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}
