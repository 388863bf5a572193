"""What the command lines refuse, and how."""

import subprocess
import sys

import pytest

from servers.__main__ import main
from servers.load.__main__ import main as load_main


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "the following arguments are required: MODEL"),
        ("threaded", "argument MODEL: invalid choice: 'threaded'"),
        ("single --workers 2", "single has one worker, --workers 2 is not possible"),
        ("single --pick least", "single has no option --pick (handoff has)"),
        ("handoff --steer=cpu", "handoff has no option --steer (reuseport has)"),
        ("dispatch --threads", "dispatch has no option --threads (shared and reuseport have)"),
        ("shared --processes", "shared has no option --processes (handoff has)"),
        ("shared --herd", "shared does not know --herd"),
        ("shared --wait never", "argument --wait: invalid choice: 'never'"),
        ("shared --workers 0", "argument --workers: 0 is not between 1 and 256"),
        ("shared --port http", "argument --port: 'http' is not a whole number"),
        ("shared --port 65536", "argument --port: 65536 is not between 0 and 65535"),
        ("shared --host localhost", "argument --host: 'localhost' is not an IPv4 or IPv6 address"),
        ("shared --work -1", "argument --work: -1 is not between 0 and 1000000"),
        ("shared --slow 2:100", "--slow names worker 2, but the workers are 0 to 1"),
        ("shared --slow 100", "argument --slow: '100' is not WORKER:MICROSECONDS"),
        ("shared --port", "argument --port: expected one argument"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(capsys, arguments, line):
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"servers: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "the following arguments are required: --connect"),
        ("--connect localhost:80", "argument --connect: 'localhost:80' is not ADDRESS:PORT or [V6]:PORT"),
        ("--connect ::1:80", "argument --connect: '::1:80' is not"),
        ("--connect 127.0.0.1:0", "argument --connect: '127.0.0.1:0' is not"),
        ("--connect 127.0.0.1:9 --rate 0", "argument --rate: '0' is not a number above 0"),
        ("--connect 127.0.0.1:9 --think nan", "argument --think: 'nan' is not a number above 0"),
        ("--connect 127.0.0.1:9 --heavy 3", "argument --heavy: '3' is not COUNT:REQUESTS"),
        ("--connect 127.0.0.1:9 --heavy 3:9 --connections 2", "--heavy needs --connections"),
        ("--connect 127.0.0.1:9 --source ::1", "--source and --connect are not of one address family"),
        ("--connect 127.0.0.1:9 --source all", "argument --source: 'all' does not appear"),
        ("--connect 127.0.0.1:9 --bogus", "unrecognized arguments: --bogus"),
    ],
)
def test_a_wrong_load_is_one_line_and_status_2(capsys, arguments, line):
    assert load_main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"servers.load: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["single", "--host=192.0.2.1"],
            "servers: cannot listen on 192.0.2.1:0: Cannot assign requested address",
        ),
        (
            ["reuseport", "--ledger=/nowhere/ledger"],
            "servers: cannot write the ledger /nowhere/ledger: No such file or directory",
        ),
    ],
    ids=["address", "ledger"],
)
def test_what_the_machine_refuses_is_one_line_and_status_1(arguments, line):
    done = subprocess.run(
        [sys.executable, "-m", "servers", *arguments], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line + "\n")


@pytest.mark.parametrize("model", ["single", "handoff", "dispatch", "shared", "reuseport"])
def test_a_server_that_cannot_say_its_port_ends_with_one_line(model):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "servers", model],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    line = "servers: cannot say where the server listens: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, line)
