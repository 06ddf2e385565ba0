"""The pages' files: served as they lie in the package, under a policy that lets a browser run nothing else."""

import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from support.web_house import web_house

from telephony.page import NO_LINE
from telephony.page_files import HEADERS, TYPES, page_files

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "telephony" / "page"
PARROT = "support.chats:parrot"


async def test_the_page_and_all_that_it_names_are_served_under_the_policy(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        for name, file in page_files().items():
            address = "/" if name == "chat.html" else f"/page/{name}"
            if name.endswith(".html") and address != "/":
                continue
            async with web.http.get(house.url + address) as response:
                assert response.status == 200, address
                assert await response.read() == (FOLDER / name).read_bytes()
                assert response.headers["Content-Type"] == file.type
                assert {header: response.headers[header] for header in HEADERS} == dict(HEADERS)


async def test_what_a_browser_has_already_is_not_sent_again(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        async with web.http.get(house.url + "/") as response:
            tag = response.headers["ETag"]
        for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ('"other"', 200)):
            async with web.http.get(house.url + "/", headers={"If-None-Match": known}) as response:
                assert response.status == status
                assert bool(await response.read()) == (status == 200)
                assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize(
    "path",
    ["/page/chat.html", "/page/vendor/README.md", "/page/vendor/marked.LICENSE", "/page/../page.py", "/page/%2e%2e/page.py", "/page/"],
)
async def test_nothing_else_of_the_package_is_served(valkey_url, valkey, path):
    async with web_house(valkey_url, PARROT) as (house, web), web.http.get(house.url + path) as response:
        assert response.status == 404


async def test_the_page_is_told_what_can_be_said_on_its_line(valkey_url, valkey):
    async with web_house(valkey_url, "assistant") as (_, web):
        told = await web.request("GET", "/page/line")
        assert (told.status, told.headers["Cache-Control"]) == (200, "no-store")
        assert any(example.startswith("Remind me") for example in told.json["examples"])
    async with web_house(valkey_url, PARROT) as (_, web):
        assert (await web.request("GET", "/page/line")).json["examples"] == []


async def test_where_no_line_answers_the_page_is_told_the_remedy(valkey_url, valkey):
    async with web_house(valkey_url, "", lines={"web:shop": PARROT}) as (_, web):
        told = await web.request("GET", "/page/line")
        assert (told.status, told.json) == (404, {"error": NO_LINE})


def test_no_page_has_a_script_or_a_style_of_its_own_or_from_elsewhere():
    for file in FOLDER.glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), file.name
        for tag in re.findall(r"<script[^>]*>.*?</script>", text, re.DOTALL):
            assert re.fullmatch(r'<script type="module" src="page/[\w-]+\.js"></script>', tag), file.name
        assert all(not link.startswith(("http", "//")) for link in re.findall(r'(?:src|href)="([^"]*)"', text)), file.name


def test_the_libraries_of_others_are_as_they_were_published_and_bring_their_licences():
    vendor = FOLDER / "vendor"
    listed = dict(
        re.findall(r"^\| `([\w-]+\.js)` .*`([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == {file.name: sha256(file.read_bytes()).hexdigest() for file in vendor.glob("*.js")}
    assert all(file.with_suffix(".LICENSE").stat().st_size > 500 for file in vendor.glob("*.js"))


def test_the_wheel_holds_the_pages(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name.removeprefix("telephony/page/") for name in zipfile.ZipFile(wheel).namelist() if name.startswith("telephony/page/")}
    assert names == {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert {name for name in names if f".{name.rpartition('.')[2]}" in TYPES} == set(page_files())
