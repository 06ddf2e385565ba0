"""The house as a whole: its names, what it ships, and what it names in its own pages."""

import importlib
import re
import subprocess
import sys
import zipfile
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import workflows

ROOT = Path(__file__).parents[1]
FLOORS = ("workflows", "handlers", "switchboard", "telephony")


def test_only_we_own_the_four_names():
    owners = packages_distributions()
    for floor in FLOORS:  # an editable installation lists none
        assert set(owners.get(floor, [])) <= {"switchboard-replay"}
        assert str(ROOT) in str(importlib.import_module(floor).__file__)


def test_it_is_never_uploaded():
    assert "Private :: Do Not Upload" in metadata("switchboard-replay").get_all("Classifier")


def test_every_exported_name_is_there():
    assert all(hasattr(workflows, name) for name in workflows.__all__)


def test_the_wheel_holds_the_scripts_and_the_types(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for floor in FLOORS:
        assert f"{floor}/py.typed" in names
    assert {path.name for path in (ROOT / "handlers").glob("*.lua")} == {Path(name).name for name in names if name.endswith(".lua")}
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_lock_has_hashes_and_no_addresses():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^[a-z0-9].*==", lock, re.MULTILINE)
    assert len(pinned) > 30
    assert all(f"{name}" in lock for name in ("pykka==", "aiohttp==", "msgspec=="))
    assert not re.search(r"https?://|--index-url|--find-links", lock)
    for entry in re.split(r"\n(?=[a-z0-9])", lock):
        if "==" in entry:
            assert "--hash=sha256:" in entry, entry[:60]
