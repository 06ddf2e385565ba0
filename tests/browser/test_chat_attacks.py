"""Words that are meant to break the chat page: they are shown as text, nothing runs, nothing leaves its place."""

import contextlib
from html import unescape

import pytest
from aiohttp import web
from playwright.async_api import expect
from support.slack_house import until
from support.visitor import PHONE
from support.web_house import web_house

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKUP = (
    "<script>window.harm = 1</script>",
    "<img src=x onerror='window.harm = 2'>",
    "<svg/onload=window.harm=3>",
    "<iframe srcdoc='<script>parent.harm = 4</script>'></iframe>",
    "</div></body></html><style>* { display: none }</style>",
    "<a href='javascript:window.harm = 5'>click</a>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=harm=6&gt;'>",
    "<form><input name=attributes><input name=parentNode>",
    "<template><img src=x onerror=harm=7></template>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0;url=https://evil.example'>",
    "&lt;script&gt;window.harm = 8&lt;/script&gt;",
    "<!--<img src='--><img src=x onerror=harm=9>-->",
    "<b id=log name=log>clobbered</b><form id=composer></form>",
)

MARKDOWN = (
    "[click](javascript:window.harm=10)",
    "[click](JaVaScRiPt&colon;window.harm=11)",
    "[click](data:text/html,<script>harm=12</script>)",
    "![x](https://evil.example/pixel.png)",
    '![x" onerror="window.harm=13](x)',
    '[x](https://ok.example/"onmouseover="harm=14)',
    "<javascript:window.harm=15>",
    "```html\n<script>window.harm=16</script>\n```",
    "| a | <img src=x onerror=harm=17> |\n|---|---|\n| `<script>harm=18</script>` | b |",
    "# <script>harm=19</script>\n- [x] <svg onload=harm=20>",
    "[a]: javascript:harm=21\n[a]",
)

SHAPES = (
    "W" * 4_000,
    "https://example.com/" + "a/" * 1_500,
    "\u202eevil\u202c and \u2067back\u2069 \u200f",
    "مرحبا بالعالم! " * 30 + "abc 123",
    "שלום" * 800,
    "Z\u0300\u0301\u0302\u0303\u0304" + "\u0335" * 400 + "algo",
    "👩‍👩‍👧‍👦" * 300,
    "tab\tand\u00a0" + "\u00a0" * 2_000 + "end",
    "\n" * 200 + "low",
    "`" + "c" * 3_000 + "`",
    "```\n" + "d" * 3_000 + "\n```",
    "|" + "h|" * 60 + "\n|" + "-|" * 60 + "\n|" + "c|" * 60,
    ">" * 300 + " deep",
    "- " * 200 + "x",
    "*" * 3_000,
    "[" * 2_000,
    "\x07bell \x1b[31mred\x1b[0m \x00nul \x85 \u2028line\u2029",
)


async def unharmed(visitor):
    """Nothing has run, nothing was asked of anybody else, and nothing is wider than the window."""
    assert await visitor.page.evaluate("window.harm") is None
    assert await visitor.overflow() == 0
    assert (
        await visitor.find(
            "#log :is(script, img, iframe, svg, style, form, input, template, base, meta, math, [onerror], [onload])"
        ).count()
        == 0
    )
    links = await visitor.find("#log a").evaluate_all("(links) => links.map((link) => [link.protocol, link.rel, link.target])")
    assert all(link[0] in ("http:", "https:", "mailto:", "tel:") and "noreferrer" in link[1] and link[2] == "_blank" for link in links)
    assert visitor.faults == []


@pytest.mark.parametrize(
    ("name", "attacks"),
    [
        pytest.param("raver", MARKUP, id="streamed markup"),
        pytest.param("raver", MARKDOWN, id="streamed markdown"),
        pytest.param("mocker", SHAPES, id="echoed shapes"),
        pytest.param("mocker", MARKUP + MARKDOWN, id="echoed markup", marks=pytest.mark.proof),
        pytest.param("raver", SHAPES, id="streamed shapes", marks=pytest.mark.proof),
    ],
)
async def test_whatever_is_said_is_shown_as_text(valkey_url, valkey, visitors, name, attacks):
    """As messages, answers, streamed words and tasks."""
    async with web_house(valkey_url, f"support.mockers:{name}") as (house, _), visitors.visit(house.url, **PHONE) as ada:
        requested = []
        ada.page.on("request", lambda request: requested.append(request.url))
        for number, attack in enumerate(attacks, 1):
            await ada.say(attack)
            await expect(ada.find("#log .said")).to_have_count(1 + number)
        await unharmed(ada)
        shown = (await ada.transcript())[1:]
        if attacks is MARKUP:
            assert list(map(unescape, shown[1::2])) == list(map(unescape, attacks))
        if attacks is not SHAPES:
            assert shown[0::2] == list(attacks)
        if name == "mocker":
            await ada.find("#tasks-button").click()
            await expect(ada.find("#tasks-list li")).to_have_count(2)
            await unharmed(ada)
        await ada.picture(f"attack by {name} {len(attacks)}")
        await ada.page.reload()
        await expect(ada.find("#log .said")).to_have_count(1 + len(attacks))
        await unharmed(ada)
        assert all(url.startswith(house.url) for url in requested)


@pytest.mark.parametrize(
    "attack", [f"{MARKUP[1]} {SHAPES[0][:300]}", pytest.param(SHAPES[2], marks=pytest.mark.proof)], ids=["markup", "turned"]
)
async def test_names_of_choices_are_shown_as_text(valkey_url, valkey, visitors, attack):
    async with web_house(valkey_url, "support.mockers:waiter") as (house, _), visitors.visit(house.url, **PHONE) as ada:
        await ada.say(attack)
        await expect(ada.find("#options button").first).to_have_text(attack, use_inner_text=True)
        await unharmed(ada)


async def test_a_script_or_a_style_that_got_in_would_be_stopped_and_noticed(valkey_url, valkey, visitors):
    """So the tests above can fail."""
    async with web_house(valkey_url, "support.mockers:mocker") as (house, _), visitors.visit(house.url) as ada:
        attempts = (
            (
                "require-trusted-types-for",
                "const it = document.createElement('script'); it.append('window.harm = 1'); document.body.append(it)",
            ),
            ("style-src-elem", "document.body.append(Object.assign(document.createElement('style'), { textContent: '* { color: red }' }))"),
            ("style-src-attr", "document.body.setAttribute('style', 'color: red')"),
            ("img-src", "document.body.append(Object.assign(new Image(), { src: 'https://evil.example/pixel.png' }))"),
            ("connect-src", "fetch('https://evil.example/').catch(() => {})"),
            ("require-trusted-types-for", "try { document.body.innerHTML = '<img>' } catch {}"),
        )
        for directive, attempt in attempts:
            ada.faults.clear()
            await ada.page.evaluate(f"() => {{ {attempt} }}")
            await until(lambda directive=directive: any(directive in fault for fault in ada.faults))
        assert await ada.page.evaluate("window.harm") is None
        ada.faults.clear()


async def test_the_id_of_the_session_is_in_no_address_and_no_referrer_tells_of_the_page(valkey_url, valkey, visitors):
    heads = []

    async def hear(request):
        heads.append(dict(request.headers))
        return web.Response(text="elsewhere")

    async with (
        elsewhere(hear) as address,
        web_house(valkey_url, "support.mockers:mocker") as (house, _),
        visitors.visit(house.url) as ada,
    ):
        await ada.say(address)
        link = ada.find("#log .said a")
        async with ada.page.context.expect_page() as opened:
            await link.click()
        other = await opened.value
        assert await other.inner_text("body") == "elsewhere"
        assert await other.evaluate("[document.referrer, window.opener]") == ["", None]
        assert "Referer" not in heads[0]
        assert ada.page.url == house.url + "/"


@contextlib.asynccontextmanager
async def elsewhere(endpoint):
    """Another site; gives its address."""
    app = web.Application()
    app.router.add_get("/", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
