"""How a recording comes to its file."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sockscope.errors import SockscopeError
from sockscope.store import Reader, Writer
from sockscope.store import writer as writer_module
from sockscope.store.secure_file import wal_of
from tests.unit.store.recordings import META, SECOND, assert_all_equal, batch, record, run, start


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(SockscopeError) as caught:
        Writer(path, META, **more)
    text = str(caught.value)
    assert "\n" not in text
    assert ";" in text
    return text


def test_file_and_log_are_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "REOPEN_BYTES", 10_000)
    old = os.umask(0)
    try:
        path, seen = tmp_path / "x.duckdb", set()
        with Writer(path, META) as writer:
            for tick in range(6):
                for file in (path, wal_of(path)):
                    seen.add(stat.S_IMODE(file.stat().st_mode))
                writer.write(batch(tick))
                writer.commit()
        assert seen == {0o600}
        assert [file.name for file in tmp_path.iterdir()] == ["x.duckdb"]
    finally:
        os.umask(old)


def test_the_file_is_made_where_nobody_else_can_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    make = writer_module.make_blank

    def look(connection: duckdb.DuckDBPyConnection, path: Path, meta: Any) -> None:
        make(connection, path, meta)
        seen.append(stat.S_IMODE(path.parent.stat().st_mode))
        assert not (tmp_path / "x.duckdb").exists()

    monkeypatch.setattr(writer_module, "make_blank", look)
    Writer(tmp_path / "x.duckdb", META).close()
    assert seen == [0o700]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_under_sudo_the_invoking_user_owns_file_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    path = tmp_path / "x.duckdb"
    with Writer(path, META) as writer:
        writer.write(batch(0))
        writer.commit()
        for file in (path, wal_of(path)):
            assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)
    assert path.stat().st_uid == 1234


def test_a_new_recording_can_be_read_at_once(tmp_path: Path) -> None:
    run("Writer(sys.argv[1], META); os._exit(0)", tmp_path / "x")
    with Reader(tmp_path / "x") as reader:
        assert list(reader.batches()) == []


def test_what_exists_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = record(tmp_path / "x", [batch(1)])
    assert "exists; choose another name" in refusal(path)
    with Reader(path) as reader:
        assert_all_equal(reader.batches(), [batch(1)])
    with Writer(path, META, overwrite=True) as writer:
        writer.write(batch(2))
    with Reader(path) as reader:
        assert_all_equal(reader.batches(), [batch(2)])


def test_the_log_of_what_is_overwritten_is_never_taken_for_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "x"
    first = Writer(path, META)
    first.write(batch(1))
    first.commit()
    old_log = wal_of(path).read_bytes()
    first.close()
    wal_of(path).write_bytes(old_log)
    with Writer(path, META, overwrite=True) as writer:
        writer.write(batch(2))
    with Reader(path) as reader:
        assert_all_equal(reader.batches(), [batch(2)])


def test_a_log_without_its_file_is_somebodys_data(tmp_path: Path) -> None:
    wal_of(tmp_path / "x").write_bytes(b"precious")
    assert "left over from another recording" in refusal(tmp_path / "x")
    assert wal_of(tmp_path / "x").read_bytes() == b"precious"


def test_places_where_no_file_can_be_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "fifo.duckdb").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "fifo.duckdb")
    assert "is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "nowhere" / "x")
    assert "cannot create files in" in refusal(Path("/proc/x"))
    assert "not a directory" in refusal(tmp_path / "file" / "x")
    assert "not a regular file" in refusal(tmp_path / "fifo.duckdb", overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fifo.duckdb", "file"]


def test_a_directory_that_may_not_be_written_is_named(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    said = run(
        """
        try: Writer(sys.argv[1], META)
        except SockscopeError as error: print(error)
        """,
        open_folder / "x",
        demoted=True,
    )
    assert "permission denied; choose another path" in said


def test_a_recording_that_another_process_writes_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with start("w = Writer(sys.argv[1], META); print('ready', flush=True); sys.stdin.read()", path) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        assert "in use" in refusal(path, overwrite=True)
        with pytest.raises(SockscopeError, match=f"in use by process {child.pid}"):
            Reader(path)
        child.kill()


def test_a_second_of_batch_time_is_committed_unasked(tmp_path: Path) -> None:
    script = """
        writer = Writer(sys.argv[1], META)
        for tick in range(3):
            writer.write(batch(tick))
        os._exit(0)
        """
    run(script, tmp_path / "x")
    with Reader(tmp_path / "x") as reader:
        assert_all_equal(reader.batches(), [batch(0), batch(1), batch(2)])


def test_after_the_file_is_gone_recording_ends_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x"
    path.parent.mkdir()
    writer = Writer(path, META)
    writer.write(batch(0))
    wal_of(path).unlink()
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(SockscopeError, match="removed or replaced while recording; record again"):
        writer.commit()
    with pytest.raises(SockscopeError, match="removed"):
        writer.write(batch(1))
    writer.close()


def test_closing_twice_is_harmless_and_writing_after_it_is_told(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x", META)
    writer.close()
    writer.close()
    with pytest.raises(SockscopeError, match="closed"):
        writer.write(batch(0))


def test_while_somebody_else_has_the_file_batches_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "REOPEN_BYTES", 5_000)
    attach, busy = writer_module.attach, [0]

    def attach_unless_busy(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        if busy[0]:
            busy[0] -= 1
            raise duckdb.IOException('IO Error: Could not set lock on file "x": held in python (PID 1).')
        attach(connection, path)

    monkeypatch.setattr(writer_module, "attach", attach_unless_busy)
    written = [batch(tick) for tick in range(8)]
    with Writer(tmp_path / "x", META) as writer:
        for tick, one in enumerate(written):
            busy[0] = 3 if tick in (2, 7) else busy[0]
            writer.write(one)
            writer.commit()
    with Reader(tmp_path / "x") as reader:
        assert_all_equal(reader.batches(), written)


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "REOPEN_BYTES", 1)
    monkeypatch.setattr(writer_module, "WAITING_BYTES", 100_000)

    def busy(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        raise duckdb.IOException('IO Error: Could not set lock on file "x": held in python (PID 77).')

    writer = Writer(tmp_path / "x", META)
    writer.write(batch(0))
    monkeypatch.setattr(writer_module, "attach", busy)
    writer.commit()
    with pytest.raises(SockscopeError, match="in use by process 77"):  # noqa: PT012
        for tick in range(1, 1000):
            writer.write(batch(tick))
    with Reader(tmp_path / "x") as reader:
        assert_all_equal(reader.batches(), [batch(0)])


def test_an_interrupt_never_tears_a_batch(tmp_path: Path) -> None:
    """Ctrl-C again and again while it writes: each batch is there, once and whole."""
    script = """
        class Interrupted(Exception): pass
        def interrupted(*_): raise Interrupted
        def interrupt():
            while not over.wait(0.004):
                os.kill(os.getpid(), signal.SIGINT)

        writer, over, tick, times = Writer(sys.argv[1], META), threading.Event(), 0, 0
        signal.signal(signal.SIGINT, interrupted)
        thread = threading.Thread(target=interrupt)
        thread.start()
        while tick < 20:
            try:
                writer.write(batch(tick))
                writer.commit()
            except Interrupted:
                times += 1
            tick = writer._tick
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        over.set()
        writer.close()
        print(times)
        """
    assert int(run(script, tmp_path / "x")) > 3
    with Reader(tmp_path / "x") as reader:
        assert_all_equal(reader.batches(), [batch(tick) for tick in range(20)])


def test_handlers_of_signals_are_as_before_after_writing(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    record(tmp_path / "x", [batch(0)])
    assert signal.getsignal(signal.SIGINT) is before
    assert batch(0).time_ns == 10 * SECOND
