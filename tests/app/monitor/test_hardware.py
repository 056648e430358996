"""How busy the machine is, from the texts that Linux and nvidia-smi give."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.monitor.hardware import Hardware, cpu_times, gpus, memory


def test_the_cpu_s_share_is_that_between_two_looks(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\nHugePages: 0\n")
    hardware = Hardware(tmp_path)
    hardware._smi = None
    hardware.look()
    assert [meter.label for meter in hardware.meters] == ["Memory"]
    (tmp_path / "stat").write_text("cpu  160 0 115 720 105 0 0 0 0 0\n")
    hardware.look()
    cpu, ram = hardware.meters
    assert cpu.share == pytest.approx(0.75)
    assert (ram.share, ram.words) == (0.25, "2.0 of 8 GiB")


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    hardware = Hardware(tmp_path / "absent")
    hardware._smi = None
    hardware.look()
    assert hardware.meters == ()
    assert cpu_times("intr 5\n") is cpu_times("") is memory("nothing: here\n") is None


def test_nvidia_smi_s_table(tmp_path: Path) -> None:
    one = "0, NVIDIA H100 80GB HBM3, 97, 40960, 81920, 61\n"
    busy, full = gpus(one)
    assert (busy.label, busy.share, busy.words) == ("GPU", 0.97, "97 %, 61 °C  H100 80GB HBM3")
    assert (full.label, full.share, full.words) == ("GPU memory", 0.5, "40.0 of 80 GiB")
    two = gpus(one + "1, Tesla T4, [N/A], 0, 16384, [N/A]\n")
    assert [meter.label for meter in two] == ["GPU 0", "GPU 0 memory", "GPU 1 memory"]
    assert gpus("No devices were found\n") == []
    # A driver that is not there is asked once.
    hardware = Hardware(tmp_path)
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho asked >> $0.log\nexit 9\n")
    smi.chmod(0o755)
    hardware._smi = str(smi)
    hardware.look()
    hardware.look()
    assert hardware.meters == ()
    assert (tmp_path / "nvidia-smi.log").read_text() == "asked\n"
    smi.write_text(f"#!/bin/sh\nprintf '{one}'\n")
    hardware._smi = str(smi)
    hardware.look()
    assert hardware.meters == (busy, full)
