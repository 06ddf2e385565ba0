"""Markdown as mrkdwn: it means the same, fits, and pings nobody."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.slack_text import MOST, beginning, pieces

LINK = re.compile(r"<(?:https?://|mailto:)[^<>|]*(?:\|[^<>]*)?>")
ENTITY = re.compile(r"&(?:amp|lt|gt);")


def harmless(text: str) -> bool:
    """Nothing but links and entities is left of what Slack would read as markup of its own."""
    rest = LINK.sub("", text)
    quoted = "\n".join(re.sub(r"^(?:[ •0-9.]*> ?)+", "", line) for line in rest.split("\n"))
    return "<" not in rest and ">" not in quoted and "&" not in ENTITY.sub("", rest)


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("plain", "plain"),
        ("**bold** and *em* and __bold__ and ~~no~~", "*bold* and _em_ and *bold* and ~no~"),
        ("***both***", "_*both*_"),
        ("# Title\ntext", "*Title*\n\ntext"),
        ("## A **bold** title", "*A bold title*"),
        ("a\nb", "a\nb"),
        ("a\\\nb", "a\nb"),
        ("- one\n- two\n  - three", "• one\n• two\n    • three"),
        ("3. c\n4. d", "3. c\n4. d"),
        ("> said\n> so", "> said\n> so"),
        ("`a < b`", "`a &lt; b`"),
        ("```py\nif a < b:\n    pass\n```", "```\nif a &lt; b:\n    pass\n```"),
        ("[here](https://example.com/?a=1&b=2)", "<https://example.com/?a=1&amp;b=2|here>"),
        ("<https://example.com>", "<https://example.com>"),
        ("[run](javascript:alert(1))", "[run](javascript:alert(1))"),
        ("[file](file:///etc/passwd)", "[file](file:///etc/passwd)"),
        ("![a cat](https://example.com/cat.png)", "<https://example.com/cat.png|a cat>"),
        ("| a | bc |\n|---|---|\n| 1 | 2 |", "```\na | bc\n------\n1 | 2\n```"),
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<b>html</b>", "&lt;b&gt;html&lt;/b&gt;"),
        ("    indented", "indented"),
        ("line\n---", "line\n\n———"),
        ("[note]: it is shown", "[note]: it is shown"),
        ("", "…"),
        (" \n\t", "…"),
    ],
)
def test_markdown_is_rendered(markdown: str, mrkdwn: str) -> None:
    assert pieces(markdown) == (mrkdwn,)


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>", "<!here|here>", "<!everyone>", "<!subteam^S1>", "<@U0ADA>", "<#C0GENERAL>", "&lt;!channel&gt;", "[<!channel>](https://x.y)",
        "[x](https://x.y/<!channel>)", "`<!channel>`", "```\n<!channel>\n```", "<!date^1^{date}|x>", "&#60;!channel&#62;", "\\<!channel\\>",
        "[a|b](https://x.y|<!channel>)", "<https://x.y|<!channel>>", "| <!here> |\n|---|\n| <@U1> |", "![<!channel>](https://x.y)",
    ],
)  # fmt: skip
def test_nobody_is_pinged(text: str) -> None:
    for piece in pieces(text):
        assert harmless(piece), piece
        assert not re.search(r"<[!@#]", piece)


MARKUP = st.sampled_from(
    ["<!channel>", "**", "`", "```\n", "&", "<", ">", "[a](https://x.y)", "\n", "\n\n", "- ", "word ", "é", "|", "](", "# "]
)


@given(st.lists(MARKUP | st.text(max_size=20), max_size=60).map("".join))
def test_whatever_is_said_fits_and_pings_nobody(text: str) -> None:
    for piece in [*pieces(text), beginning(text)]:
        assert 0 < len(piece) <= MOST
        assert harmless(piece), (text, piece)


@pytest.mark.parametrize(
    "text",
    [
        "word and <x> & more " * 2000,
        "a" * 9000,
        "&" * 9000,
        "a<" * 9000,
        "[label](https://example.com/" + "a" * 900 + ") " * 12,
        "x\n" * 9000,
    ],
    ids=["words", "one word", "entities", "brackets", "links", "lines"],
)
def test_a_long_text_comes_in_pieces_and_whole(text: str) -> None:
    found = pieces(text)
    assert len(found) > 1 or len(text) < 3000
    assert all(len(piece) <= MOST and harmless(piece) for piece in found)
    letters = [character for character in text if character.isalpha()]
    if "http" not in text:
        shown = "".join(found).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert [character for character in shown if character.isalpha()] == letters


def test_long_code_keeps_its_fences_in_each_piece() -> None:
    found = pieces("```\n" + "".join(f"line {n} <x>\n" for n in range(1000)) + "```")
    assert len(found) > 3
    assert all(piece.startswith("```\n") and piece.endswith("\n```") and len(piece) <= MOST for piece in found)
    assert "\n".join(piece[4:-4] for piece in found) == "\n".join(f"line {n} &lt;x&gt;" for n in range(1000))


def test_a_text_is_cut_between_paragraphs_where_it_can_be() -> None:
    found = pieces("\n\n".join(["word " * 500] * 4))
    assert [len(piece) for piece in found] == [2499] * 4


def test_a_text_that_is_still_coming_is_shown_as_far_as_it_fits() -> None:
    assert beginning("Hello **wor") == "Hello **wor …"
    assert len(beginning("é & " * 5000)) <= MOST
