"""What a start may cost: the modules that it imports, and the table of `bench start`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app import bench_start
from app.errors import UserError

# Slow to import and of no use to a picture: other GUIs and frameworks, torch's compiler, what only mends odd prompts.
UNWANTED = (
    *("timm", "torchvision", "huggingface_hub", "open_clip", "transformers", "tokenizers", "ftfy", "regex"),
    *("sympy", "torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "triton"),
    *("matplotlib", "pandas", "scipy", "tensorboard", "av", "cv2"),
    *("imgui_bundle", "OpenGL", "glfw", "dearpygui", "mido", "sounddevice"),
    *("training", "app.explorer.session", "app.monitor.window", "core.edit", "core.perception"),
)


@pytest.mark.parametrize("own", [False, True], ids=["bundled", "minilm"])
def test_a_plain_generate_imports_nothing_that_it_does_not_need(tmp_path: Path, own: bool) -> None:
    checkpoint = []
    if own:
        checkpoint = [str(tmp_path / "sentence.safetensors")]
        subprocess.run([sys.executable, "-c", _WRITE, *checkpoint], check=True)
    code = (
        "import json, sys; from app.cli import main; code = main(sys.argv[1:]); "
        "print(json.dumps([code, sorted(sys.modules)]))"
    )
    out = tmp_path / "out"
    command = ["generate", *checkpoint, "--prompt", "a house by the sea", "--seeds", "0", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert (out / "seed0000.png").is_file()
    assert "torch" in modules
    assert [name for name in UNWANTED if name in modules] == []


_WRITE = """
import sys
import torch
from core.checkpoints import Header, save
from core.models import registry
from core.text import Standardisation
from core.text.sentence import SentenceEncoder, statistics_tensors

encoder = SentenceEncoder.open()
rows = encoder.encode(["a cat", "a dog", "a house", "the sea"])
config = dict(
    resolution=16, text_dim=384, z_dim=8, base_channels=256, max_channels=16, convs_per_block=1, norm_groups=4
)
tensors = {f"generator.{n}": t for n, t in registry.build("stylegan_t", config).state_dict().items()}
tensors |= {f"text.{n}": t for n, t in statistics_tensors(Standardisation.of(rows)).items()}
header = Header(
    name="s", family="stylegan_t", config=config, text=encoder.spec(), images_seen=1, vocabulary=("cat",), licence="x"
)
save(sys.argv[1], header, tensors)
"""


def test_slow_imports_are_those_of_over_20_ms_without_torchs_parts() -> None:
    text = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   quick
import time:     30000 |      50000 |   slow.one
import time:    100000 |     100000 |     torch._C
import time:     40000 |     900000 | torch
other output
"""
    assert bench_start.slow_imports(text) == {"torch": 0.04, "slow.one": 0.03}


def test_the_table_has_times_ratios_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([3.0, 4.0, 1.0, 1.5, 2.0, 1.8])  # import torch and generate, three rounds, the first not counted
    calls: list[list[str]] = []

    def timed(arguments: list[str], variables: object = None) -> tuple[float, str, str]:
        calls.append(arguments)
        if "print_stages" in arguments[1]:
            return 1.0, json.dumps({"import torch": 0.9, "first picture": 0.1}), ""
        if "importtime" in arguments:
            return 1.0, "", "import time:     30000 |      50000 |   slow.one\n"
        return next(seconds), "", ""

    monkeypatch.setattr(bench_start, "_timed", timed)
    monkeypatch.setattr("app.display.why_no_display", lambda: "none here")
    report = bench_start.bench_start(Path("model.safetensors"), rounds=2)
    assert report["seconds"] == {"import torch": 1.0, "generate": 1.5}
    assert report["ratios"] == {"generate": 1.5}
    assert report["cpu_seconds"].keys() == report["seconds"].keys()
    assert report["stages"] == {"import torch": 0.9, "first picture": 0.1}
    assert sum("model.safetensors" in " ".join(arguments) for arguments in calls) == 6
    table = bench_start.format_start(report)
    assert "generate                        1.50    1.50     1.6" in table
    assert "window: not measured" in table
    assert "slow.one" in table


def test_a_start_that_fails_and_no_rounds_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rounds"):
        bench_start.bench_start(None, rounds=0)
    with pytest.raises(UserError, match="a start failed: .*no such file"):
        bench_start._timed(["-m", "app.cli", "generate", str(tmp_path / "none.safetensors"), "--prompt", "a"])
