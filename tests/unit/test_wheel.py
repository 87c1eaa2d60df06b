"""The wheel that a user installs: all three packages, the declarations, the licence, and nothing else."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"lrm": ROOT / "lrm", "lrm_cli": ROOT / "cli" / "lrm_cli", "lrm_tui": ROOT / "tui" / "lrm_tui"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def metadata(wheel: Path, name: str) -> str:
    """Return the text of a file of the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [entry for entry in archive.namelist() if entry.endswith(f".dist-info/{name}")]
        return archive.read(member).decode("utf-8")


def test_holds_each_module_and_says_that_it_is_typed(wheel: Path) -> None:
    members = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in PACKAGES.items():
        modules = {f"{package}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.py")}
        assert modules - members == set()
        assert f"{package}/py.typed" in members


def test_holds_the_declarations_byte_for_byte(wheel: Path) -> None:
    sources = {path.relative_to(ROOT / "registry").as_posix(): path for path in (ROOT / "registry").rglob("*.toml")}
    assert "prompt_sets/starter.toml" in sources
    with zipfile.ZipFile(wheel) as archive:
        packaged = {name for name in archive.namelist() if name.startswith("lrm/registry/data/")}
        assert packaged == {f"lrm/registry/data/{name}" for name in sources}
        for name, path in sources.items():
            assert archive.read(f"lrm/registry/data/{name}") == path.read_bytes()


def test_holds_nothing_else(wheel: Path) -> None:
    members = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in members}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert {Path(name).suffix for name in members} & {".duckdb", ".lock", ".pth", ".pyc"} == set()


def test_metadata_names_the_licence_the_command_and_the_version(wheel: Path) -> None:
    headers = email.message_from_string(metadata(wheel, "METADATA"))
    assert headers["License-Expression"] == "Apache-2.0"
    assert headers["Requires-Python"] == ">=3.11"
    assert metadata(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    assert "lrm = lrm_cli.main:main" in metadata(wheel, "entry_points.txt").splitlines()


def test_runs_from_the_wheel_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = [{str(wheel)!r}]
import lrm, lrm_cli, lrm_tui
print(lrm.__version__, *(module.__file__.startswith({str(wheel)!r}) for module in (lrm, lrm_cli, lrm_tui)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    version = email.message_from_string(metadata(wheel, "METADATA"))["Version"]
    assert done.stdout.split() == [version, "True", "True", "True"]
