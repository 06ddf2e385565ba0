"""A real Chromium for the tests of the pages; where there is none they are skipped, or fail if SWITCHBOARD_BROWSER names one."""

import os

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from support.visitor import Visitors, installed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium():
    path = installed()
    if path is None:
        if named := os.environ.get("SWITCHBOARD_BROWSER"):
            pytest.fail(f"SWITCHBOARD_BROWSER names {named}, which is no program: `sh .ci/browser` installs one and prints where it is")
        pytest.skip("no Chromium is installed: apt-get install chromium-headless-shell, or name one by SWITCHBOARD_BROWSER=/path/to/it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(chromium):
    """Visitors, none of whom may have met a mistake of the page by the end of the test."""
    here = Visitors(chromium)
    yield here
    assert [fault for tab in here.tabs for fault in tab.faults] == []
