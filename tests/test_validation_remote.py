"""Devices behind SSH: a stand-in for ssh that runs commands here, and a real sshd on this machine if it has one."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from validation_helpers import NB, chosen_of, fake_run, write_images

from nasbench_mo.errors import DeviceError, SpecError
from nasbench_mo.profiling import LatencyProtocol
from nasbench_mo.profiling.remote import COMMAND, Address, RemoteDevice
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.datasets import find_dataset
from nasbench_mo.training.trainer import Recipe
from nasbench_mo.validation import Study, Target, shortlist_profile, validate
from nasbench_mo.validation.shortlist_profile import Profile, profile

pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for ssh is a shell script")

SMALL = Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5)
CELLS = NB.decode(NB.sample(2, rng=np.random.default_rng(4)))

#: Checks the options, forgets them, and runs the command in a shell that sees nothing of this package.
_STAND_IN = """#!/bin/sh
echo "$@" >> {log}
while [ "$1" != "--" ]; do shift; done
echo "target $2" >> {log}
unset PYTHONPATH
cd /
exec sh -c "$3"
"""


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_profile, "DEPLOYED", LatencyProtocol(rounds=20, runs=1, warm_up=0))
    monkeypatch.setattr(shortlist_profile, "AS_PREDICTED", LatencyProtocol(rounds=4, runs=1, warm_up=0))


def write_script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for ssh, and what it was told."""
    found = tmp_path / "ssh.log"
    script = write_script(tmp_path / "ssh", _STAND_IN.format(log=shlex.quote(str(found))))
    monkeypatch.setenv(COMMAND, str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return found


def url(host: str = "board") -> str:
    return f"ssh://{host}:2222{sys.executable}"


def profiled(device: str, *, work: Path, **changes: str) -> Profile:
    target = Target(device=device, **changes)  # type: ignore[arg-type]
    return profile(CELLS, skeleton=SMALL, as_predicted=SMALL, target=target, work=work)


# ---------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://pi@raspberrypi:2222", ("pi", "raspberrypi", 2222, "python3")),
        ("ssh://board", (None, "board", None, "python3")),
        ("ssh://u0_a12@10.0.0.7:8022/", ("u0_a12", "10.0.0.7", 8022, "python3")),
        ("ssh://pi@board/home/pi/venv/bin/python", ("pi", "board", None, "/home/pi/venv/bin/python")),
        ("ssh://pi@[fe80::1]:22", ("pi", "fe80::1", 22, "python3")),
    ],
)
def test_an_address_is_read(text: str, expected: tuple[str | None, str, int | None, str]) -> None:
    found = Address.parse(text)
    assert (found.user, found.host, found.port, found.python) == expected


@pytest.mark.parametrize(
    "text", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://h:0", "ssh://h:99999", "http://h"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="expected ssh://user@host:port"):
        Address.parse(text)


# ---------------------------------------------------------------------- stand-in


def test_a_device_measures_and_every_reading_comes_back(log: Path, tmp_path: Path) -> None:
    found = profiled(url("pi@board"), work=tmp_path / "work")
    here = RemoteDevice(url()).identity()
    assert found.device == here["device"]
    assert found.runtime == f"onnxruntime {here['versions']['onnxruntime']}"
    for values in (*found.latency_us.values(), found.as_predicted_us):
        assert values is not None
        assert (values > 0).all()
    assert not found.failures
    assert "not read on ssh://" in str(found.no_energy_because)
    assert (found.memory_mib > 0).all() if Path("/proc/self/status").exists() else found.no_memory_because
    told = log.read_text()
    assert "target pi@board" in told
    assert "-o BatchMode=yes" in told
    assert "-p 2222" in told
    assert not list(tmp_path.glob("tmp.*"))  # nothing is left on the device


def test_a_quantised_network_is_measured_there_too(log: Path, tmp_path: Path) -> None:
    found = profiled(url(), work=tmp_path / "work", precision="int8")
    assert (found.latency_us["p50"] > 0).all()
    assert found.precision == "int8"
    assert log.exists()


_GOES_AWAY = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
unset PYTHONPATH
case "$3" in
  *identity*) exec sh -c "$3";;
esac
sh -c "$3" | head -n {lines}
echo "Connection to board closed by remote host." >&2
exit 255
"""


def test_a_device_that_goes_away_keeps_what_was_measured(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    with monkeypatch.context() as patch:
        patch.setenv(COMMAND, str(write_script(tmp_path / "leaving", _GOES_AWAY.format(lines=13))))
        with pytest.raises(DeviceError, match=r"went away \(Connection to board closed.*kept") as caught:
            profiled(url(), work=work)
    assert "\n" not in str(caught.value)
    (turns,) = work.glob("*/turns.jsonl")
    kept = [line for line in turns.read_text().splitlines() if '"value"' in line]
    assert 8 <= len(kept) <= 12  # of 13 lines, one about cores, and those about networks that are never steady
    found = profiled(url(), work=work)
    lines = turns.read_text().splitlines()
    assert [line for line in lines if '"value"' in line][: len(kept)] == kept
    assert (found.latency_us["p99"] > 0).all()
    measured = [line for line in lines if '"trained|' in line]
    assert len(measured) <= 2 * 20 + 1  # a round that was cut in half is repeated, no other


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ssh: connect to host board port 22: Connection refused' >&2; exit 255", "Connection refused"),
        ("echo 'sh: python3: not found' >&2; exit 127", "has no .*name the Python"),
        ("echo 'Welcome to board'", "must print nothing of its own"),
        ('echo \'{"error": "Python 3.9 there has no onnxruntime"}\'; exit 3', "has no onnxruntime; install it there"),
        ("exit 0", "did not say what it is"),
        ("echo 'Killed' >&2; exit 137", r"failed \(Killed\)"),
    ],
)
def test_a_device_that_cannot_measure_is_one_sentence(
    script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMAND, str(write_script(tmp_path / "ssh", f"#!/bin/sh\n{script}\n")))
    with pytest.raises(DeviceError, match=says) as caught:
        Target(device=url()).bench()
    assert "\n" not in str(caught.value)


def test_a_device_that_stops_early_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its exit code says, it has to say that it is done."""
    monkeypatch.setenv(COMMAND, str(write_script(tmp_path / "ssh", "#!/bin/sh\necho '{\"cores\": null}'\n")))
    lines = RemoteDevice(url()).lines({})
    assert next(lines) == {"cores": None}
    with pytest.raises(DeviceError, match="ended before it was done"):
        next(lines)


def test_a_machine_without_ssh_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND, "/nowhere/ssh")
    with pytest.raises(DeviceError, match="ssh could not be started"):
        Target(device=url()).bench()


def test_a_provider_that_the_device_lacks_is_refused_before_anything_is_sent(log: Path) -> None:
    with pytest.raises(SpecError, match=r"no provider 'cuda' on ssh://board.*present: cpu"):
        Target(device=url(), provider="cuda").bench()
    assert log.read_text().count("target") == 1


def test_a_model_that_does_not_load_there_fails_alone(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = shortlist_profile.onnx_network
    monkeypatch.setattr(
        shortlist_profile, "onnx_network", lambda arch, **k: b"bad" if arch == CELLS[0] else honest(arch, **k)
    )
    found = profiled(url(), work=tmp_path / "work")
    assert "INVALID_PROTOBUF" in found.failures[CELLS[0]]
    assert np.isnan(found.latency_us["p50"]).tolist() == [True, False]


def test_a_validation_trains_here_and_measures_there(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device goes away after the trainings; the same call trains nothing again."""
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    run = fake_run([[0.0, 1.0], [1.0, 0.0]])
    images = find_dataset(str(write_images(tmp_path / "toy.npz")))
    target = Target(device=url())

    def validated() -> Study:
        recipe = Recipe(channels=4, epochs=1, batch_size=30)
        return validate(run, chosen_of(run, n=2), dataset=images, out=tmp_path / "out", recipe=recipe, target=target)

    with monkeypatch.context() as patch, pytest.raises(DeviceError, match="went away"):
        patch.setenv(COMMAND, str(write_script(tmp_path / "leaving", _GOES_AWAY.format(lines=6))))
        validated()
    monkeypatch.delattr("nasbench_mo.training.trainer._one_epoch")
    found = validated()
    assert not any(done.failure for done in found.trained)
    assert found.device == "cpu"
    assert found.profile.device == RemoteDevice(url()).identity()["device"]
    assert (found.profile.latency_us["p50"] > 0).all()
    assert log.exists()


# ---------------------------------------------------------------------- a real sshd


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server of this user on a free port, with keys of its own; the URL of its Python, and its process."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (Debian and Ubuntu: apt install openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where a root's sshd gives up its privileges
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized_keys")
    port = free_port()
    (keys / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized_keys\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    options = f"-F none -i {keys}/user -o UserKnownHostsFile={keys}/known -o StrictHostKeyChecking=no -o LogLevel=ERROR"
    monkeypatch.setenv(COMMAND, f"ssh {options}")
    with (tmp_path / "sshd.log").open("wb") as output:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(keys / "sshd_config")], stderr=output)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                pytest.skip(f"sshd does not start here: {(tmp_path / 'sshd.log').read_text()[-200:]}")
            time.sleep(0.05)
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{sys.executable}", server.pid
    finally:
        server.terminate()
        server.wait()


def test_a_device_behind_a_real_sshd_measures(sshd: tuple[str, int], tmp_path: Path) -> None:
    found = profiled(sshd[0], work=tmp_path / "work")
    assert (found.latency_us["p50"] > 0).all()
    assert not found.failures


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_connection_that_breaks_is_an_error_and_the_rest_is_measured_later(
    sshd: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's process of the connection is killed while the device measures."""
    monkeypatch.setattr(shortlist_profile, "DEPLOYED", LatencyProtocol(rounds=300, runs=40, warm_up=0))
    work = tmp_path / "work"
    killed: list[int] = []

    def kill_the_connection(done: int, total: int) -> None:
        if done >= 3 and not killed:
            killed.extend(children(sshd[1]))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    target = Target(device=sshd[0])
    with pytest.raises(DeviceError, match="went away"):
        profile(CELLS, skeleton=SMALL, as_predicted=None, target=target, work=work, progress=kill_the_connection)
    assert killed
    (turns,) = work.glob("*/turns.jsonl")
    kept = turns.read_text().count('"trained|')
    assert 5 <= kept < 2 * 300  # two rounds of two networks, and the reading with which the third began
    found = profile(CELLS, skeleton=SMALL, as_predicted=None, target=target, work=work)
    assert (found.latency_us["p99"] > 0).all()
    assert turns.read_text().count('"trained|') <= 2 * 300 + 1
