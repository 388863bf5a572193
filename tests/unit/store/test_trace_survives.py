"""What was committed survives whatever happens."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from sockscope.errors import SockscopeError
from sockscope.store import Reader, Writer
from sockscope.store.secure_file import wal_of
from tests.unit.store.recordings import META, assert_all_equal, batch, run, start

#: Small enough that the log is worked into the file every few ticks.
_ENDLESS = """
writer_module.REOPEN_BYTES = 40_000
writer = Writer(sys.argv[1], META)
print("begun", flush=True)
for tick in range(100_000):
    writer.write(batch(tick, 5, 3))
    writer.commit()
    print(tick, flush=True)
"""


def committed(path: Path) -> int:
    """How many batches are there; they are the first so many."""
    with Reader(path) as reader:
        found = list(reader.batches())
    assert_all_equal(found, [batch(tick, 5, 3) for tick in range(len(found))])
    return len(found)


def kill_and_look(path: Path, after_s: float) -> None:
    """Record without end, kill -9 some time after the beginning, and look what is there."""
    with start(_ENDLESS, path) as child:
        assert child.stdout
        assert child.stdout.readline() == "begun\n"
        time.sleep(after_s)
        child.kill()
        said = child.stdout.read().split()
    assert len(said) <= committed(path) <= len(said) + 1
    # the next recording of that name does not stumble over what is left
    Writer(path, META, overwrite=True).close()
    assert committed(path) == 0


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.25, 0.6])
def test_after_kill_nine_all_that_was_committed_is_there(tmp_path: Path, after_s: float) -> None:
    kill_and_look(tmp_path / "x", after_s + random.random() / 20)


@pytest.mark.slow
def test_after_kill_nine_at_fifty_moments_all_that_was_committed_is_there(tmp_path: Path) -> None:
    for moment in range(50):
        kill_and_look(tmp_path / f"{moment}", random.random())


def test_a_recording_whose_file_was_replaced_leaves_the_new_ones_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    old = Writer(path, META)
    old.write(batch(9))
    old.commit()
    path.unlink()
    wal_of(path).unlink()
    run("w = Writer(sys.argv[1], META); w.write(batch(0, 5, 3)); w.commit(); os._exit(0)", path)
    with pytest.raises(SockscopeError, match="removed or replaced"):
        old.commit()
    old.close()
    assert committed(path) == 1


def test_a_killed_recording_can_be_read_by_who_may_not_write(open_folder: Path) -> None:
    path = open_folder / "x"
    run("w = Writer(sys.argv[1], META); w.write(batch(0, 5, 3)); w.commit(); os._exit(0)", path)
    assert wal_of(path).stat().st_size > 0
    path.chmod(0o644)
    wal_of(path).chmod(0o644)
    assert run("print(len(list(Reader(sys.argv[1]).batches())))", path, demoted=True) == "1\n"
    assert wal_of(path).stat().st_size > 0


def test_a_log_cut_anywhere_still_gives_the_batches_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "x"
    run(
        """
        w = Writer(sys.argv[1], META)
        for tick in range(5): w.write(batch(tick, 5, 3)); w.commit()
        os._exit(0)
        """,
        path,
    )
    log = wal_of(path).read_bytes()
    counts = []
    for length in [*range(0, len(log), max(1, len(log) // 8)), len(log)]:
        cut = tmp_path / f"cut{length}"
        shutil.copy(path, cut)
        wal_of(cut).write_bytes(log[:length])
        counts.append(committed(cut))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 5


_UNTIL_FULL = """
import resource
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    writer = Writer(sys.argv[1], META)
    for tick in range(100_000):
        writer.write(batch(tick, 5, 3))
        writer.commit()
        print(tick)
except SockscopeError as error:
    print(error)
try:
    writer.write(batch(0))
except SockscopeError as error:
    print(error)
writer.close()
"""


def test_a_file_that_may_not_grow_further_is_said_and_what_is_there_is_kept(tmp_path: Path) -> None:
    *ticks, said, again = run(_UNTIL_FULL, tmp_path / "x", 500_000).splitlines()
    assert "file size limit reached" in said
    assert "; raise the limit" in said
    assert again == said
    assert len(ticks) <= committed(tmp_path / "x") <= len(ticks) + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 500_000


@pytest.mark.parametrize("size", ["100k", "700k"])
def test_a_full_disk_is_said_and_what_is_there_is_kept(tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        if size == "100k":
            with pytest.raises(SockscopeError, match=r"the disk is full; free space"):  # nothing is kept
                Writer(disk / "x", META)
            assert list(disk.iterdir()) == []
            return
        *ticks, said, again = run(_UNTIL_FULL, disk / "x").splitlines()
        assert "the disk is full" in said
        assert "; free space" in said
        assert again == said
        assert len(ticks) <= committed(disk / "x") <= len(ticks) + 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)
