"""The lock beside a spec: where it stands, and what becomes of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm.errors import SpecError
from lrm.spec.lock import Lock, lock_path, read_lock, write_lock

SHA = "0123456789abcdef" * 4


def test_a_lock_is_never_the_spec_itself() -> None:
    assert lock_path(Path("r1.toml")) == Path("r1.lock")
    assert lock_path(Path("r1")) == Path("r1.lock")
    assert lock_path(Path("r1.lock")) == Path("r1.lock.lock")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"garbage [[[", "cannot be read as a lock"),
        (b"\xff\xfe\0", "cannot be read as a lock"),
        (b"", "version None"),
        (b"version = true", "version True"),
        (b"version = 1\nprompt_sets = 3", "`prompt_sets` is no table"),
        (b"version = 1\n[prompt_sets]\nmine = 3", "`prompt_sets.mine` is no table"),
        (b'version = 1\n[attacks.mine]\nrevision = "main"', "`attacks.mine` needs `sha256`"),
        (b'version = 1\n[prompt_sets.mine]\nsha256 = "zz"', "64 hexadecimal digits"),
        (f'version = 1\n[prompt_sets.mine]\nsha256 = "{SHA}"\nrevision = 5'.encode(), "`revision`"),
    ],
)
def test_a_lock_that_cannot_be_read_is_told_and_written_anew(tmp_path: Path, written: bytes, says: str) -> None:
    spec = tmp_path / "r1.toml"
    lock_path(spec).write_bytes(written)
    with pytest.raises(SpecError, match=says) as caught:
        read_lock(spec)
    assert caught.value.file == str(lock_path(spec))

    lock = Lock()
    lock.add_prompt_set("mine", sha256=SHA, revision=None)
    assert write_lock(spec, lock)
    assert read_lock(spec) == lock
    assert not write_lock(spec, lock)
