from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import engine as engine_module
from core import styles as styles_module
from core.checkpoints import Checkpoint, CheckpointError, load, save
from core.engine import Engine, EngineError, choose_device, choose_precision, load_generator
from core.model_info import LayerInfo
from core.request import Mix, Push, RenderRequest, SynthesisOptions
from core.text import load_text_encoder

REQUESTS = [
    RenderRequest(),
    RenderRequest(prompt="snowy mountains at sunset, watercolor", seed_x=3),
    RenderRequest(prompt="sea", prompt_b="house", blend=0.4, seed_x=1.5, seed_y=-2.25),
    RenderRequest(prompt="sea", seed_x=1, noise="random", noise_seed=5),
    RenderRequest(prompt="sea", seed_x=1, noise="none", psi=0.5),
    RenderRequest(prompt="sea", seed_x=1, transform=(0.0, -1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
]


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine.open(tiny_checkpoint, device="cpu", precision="float32")


def pixels(engine: Engine, **fields: object) -> np.ndarray:
    return engine.render(RenderRequest(**fields)).pixels  # type: ignore[arg-type]


def plainly(checkpoint: Checkpoint, request: RenderRequest, ws: torch.Tensor) -> np.ndarray:
    """What the model itself draws for this w: [H, W, 3] uint8, in numpy."""
    noise = torch.Generator().manual_seed(request.noise_seed)
    options = SynthesisOptions(noise=request.noise, transform=request.transform)
    rgb = load_generator(checkpoint).synthesis(ws, options, generator=noise)
    return np.rint(np.clip((rgb[0].numpy() + 1) * 127.5, 0, 255)).astype(np.uint8).transpose(1, 2, 0)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in 8-bit steps."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_info(engine: Engine, tiny_checkpoint: Path) -> None:
    info = engine.info
    assert (info.name, info.family, info.size, info.images_seen) == ("tiny", "stylegan_t", (32, 32), 1000)
    assert (info.precision, info.device, info.path) == ("float32", "cpu", tiny_checkpoint)
    assert info.sha256 == hashlib.sha256(tiny_checkpoint.read_bytes()).hexdigest()
    assert info.parameters == sum(p.numel() for p in load_generator(load(tiny_checkpoint)).parameters())
    assert "watercolor" in info.vocabulary
    assert (info.conditioning, info.classes, info.class_names) == ("text", 0, ())
    assert info.has_noise
    assert info.has_transform


def test_frames_are_what_the_plain_model_draws(engine: Engine, tiny_checkpoint: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    for request in REQUESTS:
        frame = engine.render(request)
        assert frame.request is request
        assert frame.pixels.shape == (frame.height, frame.width, 3) == (32, 32, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        assert frame.render_ms > 0
        expected = plainly(checkpoint, request, engine.ws(request))
        assert np.abs(frame.pixels.astype(int) - expected).max() <= 1
        assert frame.pixels.std() > 10


def test_styles_are_made_as_the_model_makes_it(engine: Engine, tiny_checkpoint: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    generator = load_generator(checkpoint)
    encoder = load_text_encoder(checkpoint.header.text, checkpoint.part("text"))
    z = torch.from_numpy(np.random.RandomState(203).randn(1, 16).astype(np.float32))
    expected = generator.make_w(z, encoder.encode(["sea"]), psi=0.7)
    got = engine.ws(RenderRequest(prompt="sea", seed_x=3, seed_y=2, psi=0.7))
    assert got.shape == (1, generator.num_ws, generator.w_dim)
    assert torch.allclose(got, expected[:, None], atol=1e-6)


def test_latents_are_blended_after_mapping(engine: Engine) -> None:
    corners = [engine.ws(RenderRequest(seed_x=x, seed_y=y)) for x, y in ((4, 1), (5, 1), (4, 2), (5, 2))]
    # What does not change with the seed is the same to the bit: the synthesis keeps what hangs on it.
    assert torch.equal(engine.ws(RenderRequest(seed_x=4.3, seed_y=1.9, psi=0.6))[..., 16:], corners[0][..., 16:])
    expected = 0.75 * (0.5 * corners[0] + 0.5 * corners[1]) + 0.25 * (0.5 * corners[2] + 0.5 * corners[3])
    assert torch.allclose(engine.ws(RenderRequest(seed_x=4.5, seed_y=1.25)), expected, atol=1e-6)


def test_equal_requests_give_bit_equal_frames(engine: Engine, tiny_checkpoint: Path) -> None:
    first = [engine.render(request).pixels for request in REQUESTS]
    # In another order, among others, in another engine: caches must not show.
    for request in reversed(REQUESTS):
        engine.render(replace(request, prompt=request.prompt + " more", psi=0.3))
    again = [engine.render(request).pixels for request in reversed(REQUESTS)][::-1]
    other = Engine.open(tiny_checkpoint, device="cpu", precision="float32")
    elsewhere = [frame.pixels for frame in other.render_batch(REQUESTS[::-1])][::-1]
    for a, b, c in zip(first, again, elsewhere, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_a_frame_outlives_the_next(engine: Engine) -> None:
    frame = engine.render(REQUESTS[0])
    copy = frame.pixels.copy()
    engine.render(REQUESTS[1])
    assert np.array_equal(frame.pixels, copy)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "house"},
        {"prompt": "sea", "prompt_b": "house", "blend": 0.5},
        {"seed_x": 1.0},
        {"seed_y": 0.5},
        {"psi": 0.5},
        {"noise": "none"},
        {"noise": "random"},
        {"noise": "random", "noise_seed": 2**32 - 1},
        {"transform": (1.0, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)},
    ],
)
def test_every_field_changes_the_picture(engine: Engine, fields: dict[str, object]) -> None:
    assert difference(pixels(engine, prompt="sea"), pixels(engine, **({"prompt": "sea"} | fields))) > 1


def test_fields_that_do_not_apply_change_nothing(engine: Engine) -> None:
    base = pixels(engine, prompt="sea")
    assert np.array_equal(base, pixels(engine, prompt="sea", prompt_b="house"))
    assert np.array_equal(base, pixels(engine, prompt="house", prompt_b="sea", blend=1.0))
    assert np.array_equal(base, pixels(engine, prompt="sea", noise_seed=3))
    assert np.array_equal(base, pixels(engine, prompt="sea", seed_x=float(2**32)))
    assert np.array_equal(pixels(engine, seed_x=-1), pixels(engine, seed_x=float(2**32 - 1)))
    assert np.array_equal(pixels(engine, seed_x=205), pixels(engine, seed_x=5, seed_y=2))


def test_a_small_step_is_a_small_change(engine: Engine) -> None:
    base = pixels(engine, prompt="sea", prompt_b="house", blend=0.5, seed_x=0.5)
    for fields in ({"blend": 0.501, "seed_x": 0.5}, {"blend": 0.5, "seed_x": 0.501}):
        assert difference(base, pixels(engine, prompt="sea", prompt_b="house", **fields)) < 2


@pytest.mark.parametrize("psi", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_any_psi_gives_a_picture(tiny_checkpoint: Path, psi: float, precision: str) -> None:
    try:
        engine = Engine.open(tiny_checkpoint, device="cpu", precision=precision)
    except EngineError:
        pytest.skip(f"this CPU has no {precision} convolutions")
    for prompt in ("", "🙂雪" * 5000):
        assert pixels(engine, prompt=prompt, psi=psi).std() > 1


@pytest.mark.parametrize(("precision", "steps"), [("bfloat16", 8.0), ("float16", 1.0)])
def test_half_precision_is_close_to_float32(
    engine: Engine, tiny_checkpoint: Path, precision: str, steps: float
) -> None:
    try:
        half = Engine.open(tiny_checkpoint, device="cpu", precision=precision)
    except EngineError:
        pytest.skip(f"this CPU has no {precision} convolutions")
    assert half.info.precision == precision
    for request in REQUESTS:
        frame = half.render(request)
        assert difference(frame.pixels, engine.render(request).pixels) < steps
        assert np.array_equal(frame.pixels, half.render(request).pixels)


def test_half_precision_storage_is_drawn_in_float32(tiny_checkpoint: Path, tmp_path: Path, engine: Engine) -> None:
    checkpoint = load(tiny_checkpoint)
    save(tmp_path / "half.safetensors", checkpoint.header, {k: v.half() for k, v in checkpoint.tensors.items()})
    half = Engine.open(tmp_path / "half.safetensors", device="cpu", precision="float32")
    assert half.info.precision == "float32"
    assert difference(pixels(half, prompt="sea"), pixels(engine, prompt="sea")) < 1


def test_an_open_engine_does_not_need_its_file(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "model.safetensors", resolution=16)
    opened = Engine.open(path, device="cpu")
    before = pixels(opened, prompt="sea")
    with path.open("r+b") as file:
        file.truncate(100)
    assert np.array_equal(pixels(opened, prompt="sea"), before)
    assert not np.array_equal(pixels(opened, prompt="house"), before)


def test_the_text_and_the_mapping_run_once(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(tiny_checkpoint, device="cpu")
    calls = {"text": 0, "mapping": 0}
    engine._styles._text._tower.register_forward_hook(lambda *args: calls.update(text=calls["text"] + 1))
    mapping = engine._styles._map

    def counted(*args: Any) -> torch.Tensor:
        calls["mapping"] += 1
        return mapping(*args)

    monkeypatch.setattr(engine._styles, "_map", counted)
    for psi in (0.1, 0.2, 0.3):
        engine.render(RenderRequest(prompt="sea", prompt_b="house", blend=0.5, seed_x=0.5, psi=psi))
    # Two seeds, each with its average.
    assert calls == {"text": 2, "mapping": 4}
    monkeypatch.setattr(styles_module, "CACHED_LATENTS", 2)
    for seed in (7, 8, 9):
        engine.render(RenderRequest(seed_x=seed))
    assert len(engine._styles._latents) <= 4


def test_float32_is_the_plain_model_to_the_bit_and_auto_is_close(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "has_amx", lambda: False)
    generator = load_generator(load(tiny_checkpoint))
    exact = Engine.open(tiny_checkpoint, device="cpu", precision="float32")
    fast = Engine.open(tiny_checkpoint, device="cpu")
    assert exact.info.precision == fast.info.precision == "float32"
    request = RenderRequest(prompt="sea", seed_x=3)
    with torch.inference_mode():
        rgb = generator.synthesis(exact.ws(request))[0].mul(127.5).add(127.5)
    expected = rgb.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.array_equal(exact.render(request).pixels, expected)
    assert np.abs(fast.render(request).pixels.astype(int) - expected).max() <= 1


def test_weights_are_not_kept_twice(tiny_checkpoint: Path) -> None:
    engine = Engine.open(tiny_checkpoint, device="cpu")
    generator = engine._styles._map.__self__  # type: ignore[attr-defined]
    assert sum(p.numel() for p in generator.parameters()) < engine.info.parameters / 4


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("tpu", "", "meta", "cuda:x"):
        with pytest.raises(EngineError, match="expected auto, cpu, cuda"):
            choose_device(name)
    with pytest.raises(EngineError, match="CUDA devices"):
        choose_device("cuda:99")


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(EngineError, match="expected one of auto, float32"):
        choose_precision("int8", cpu)
    monkeypatch.setattr(engine_module, "has_amx", lambda: False)
    assert choose_precision("auto", cpu) == "float32"
    monkeypatch.setattr(engine_module, "_can_convolve", lambda dtype, device: True)
    monkeypatch.setattr(engine_module, "has_amx", lambda: True)
    assert choose_precision("auto", cpu) == "bfloat16"
    assert choose_precision("auto", torch.device("cuda")) == "float16"
    assert choose_precision("float16", cpu) == "float16"
    monkeypatch.setattr(engine_module, "_can_convolve", lambda dtype, device: False)
    assert choose_precision("auto", cpu) == "float32"
    assert choose_precision("float32", cpu) == "float32"
    with pytest.raises(EngineError, match="cannot do convolutions in it; use auto or float32"):
        choose_precision("bfloat16", cpu)


def test_the_probe_for_a_precision_is_right_about_float32() -> None:
    assert engine_module._can_convolve(torch.float32, torch.device("cpu"))
    assert not engine_module._can_convolve(torch.float8_e4m3fn, torch.device("cpu"))


def test_a_picture_that_overflows_is_an_error(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(tiny_checkpoint, device="cpu")
    monkeypatch.setattr(engine, "_synthesise", lambda request: torch.full((1, 3, 32, 32), float("nan")))
    with pytest.raises(EngineError, match="not finite in .* use precision float32"):
        engine.render(RenderRequest())


def test_opening_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError):
            Engine.open(path)


def test_a_text_tower_that_does_not_fit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    wrong = replace(checkpoint.header, text=checkpoint.header.text | {"embed_dim": 17})
    save(tmp_path / "a.safetensors", wrong, checkpoint.tensors)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: text tower: tensor text\..* expected shape"):
        Engine.open(tmp_path / "a.safetensors")

    narrow = dict(checkpoint.tensors)
    narrow["text.text_projection"] = narrow["text.text_projection"][:, :15]
    save(tmp_path / "b.safetensors", replace(wrong, text=wrong.text | {"embed_dim": 15}), narrow)
    with pytest.raises(CheckpointError, match="expects text embeddings of 16 numbers, its text encoder gives 15"):
        Engine.open(tmp_path / "b.safetensors")


def test_as_many_cores_are_used_as_there_is_work_for(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert Engine.open(tiny_checkpoint, device="cpu").info.arithmetic.threads == 64
    monkeypatch.delenv("OMP_NUM_THREADS")
    wide = LayerInfo(name="b512", size=(512, 512), channels=64, style=0)  # 19 billion operations
    narrow = replace(wide, channels=16)
    assert engine_module.good_threads([wide]) == engine_module.MAX_THREADS
    assert engine_module.good_threads([narrow]) == 2
    assert Engine.open(tiny_checkpoint, device="cpu").info.arithmetic.threads == 1
    assert Engine.open(tiny_checkpoint, device="cpu", threads=3).info.arithmetic.threads == 3


def test_a_picture_is_calculated_on_as_many_threads_as_the_engine_has(
    tiny_checkpoint: Path, unchanged_threads: None
) -> None:
    three, two = (Engine.open(tiny_checkpoint, device="cpu", threads=count) for count in (3, 2))
    request = RenderRequest(prompt="sea", seed_x=1)
    with ThreadPoolExecutor(1) as pool:  # the window draws on a thread of its own
        for engine, count in ((three, 3), (two, 2), (three, 3)):
            pool.submit(engine.render, request).result()
            assert pool.submit(torch.get_num_threads).result() == count
    engine.embeddings(["sea"])
    assert torch.get_num_threads() == 3


def test_an_engine_opened_with_another_s_arithmetic_gives_its_bits(
    tiny_checkpoint: Path, unchanged_threads: None
) -> None:
    request = RenderRequest(prompt="a red boat", seed_x=4)
    for precision in ("auto", "float32", "bfloat16"):
        played = Engine.open(tiny_checkpoint, device="cpu", precision=precision, threads=2)
        again = Engine.open(tiny_checkpoint, **asdict(played.info.arithmetic))
        assert again.info.arithmetic == played.info.arithmetic
        assert again.info.arithmetic.plain == (precision == "float32")
        np.testing.assert_array_equal(again.render(request).pixels, played.render(request).pixels)


@pytest.fixture
def unchanged_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def styles(engine: Engine, **fields: object) -> torch.Tensor:
    return engine.ws(RenderRequest(**fields))[0]  # type: ignore[arg-type]


def test_truncation_layer_by_layer(engine: Engine) -> None:
    full, none = styles(engine, prompt="sea", seed_x=3), styles(engine, prompt="sea", seed_x=3, psi=0.0)
    layers = engine.info.num_ws
    assert layers >= 4
    cut = styles(engine, prompt="sea", seed_x=3, psi=0.25, cutoff=2)
    assert torch.equal(cut[2:], full[2:])
    torch.testing.assert_close(cut[:2], (none + 0.25 * (full - none))[:2])
    assert torch.equal(styles(engine, prompt="sea", seed_x=3, psi=0.25, cutoff=0), full)
    assert torch.equal(
        styles(engine, prompt="sea", seed_x=3, psi=0.25, cutoff=layers),
        styles(engine, prompt="sea", seed_x=3, psi=0.25),
    )
    single = styles(engine, prompt="sea", seed_x=3, psi=0.25, cutoff=1, layer_psi=(None, None, 0.0, 1.5))
    assert torch.equal(single[2], none[2])
    torch.testing.assert_close(single[0], cut[0])
    assert torch.equal(single[1], full[1])
    torch.testing.assert_close(single[3], (none + 1.5 * (full - none))[3])


def test_mixes_take_the_layers_they_name(engine: Engine) -> None:
    base = {"prompt": "sea", "prompt_b": "house", "blend": 0.5, "seed_x": 3.0, "psi": 0.7}
    own = styles(engine, **base)
    seed = styles(engine, **(base | {"seed_x": 9.0}))
    text = styles(engine, prompt="house", seed_x=3.0, psi=0.7)
    mixed = styles(engine, **base, mixes=(Mix(first=1, stop=3, seed_x=9.0), Mix(first=3, prompt="house", amount=0.25)))
    assert torch.equal(mixed[0], own[0])
    assert torch.equal(mixed[1:3], seed[1:3])
    torch.testing.assert_close(mixed[3:], (own + 0.25 * (text - own))[3:])
    assert not torch.equal(seed, own)
    assert torch.equal(styles(engine, **base), own)


def test_saved_vectors_push_and_replace(engine: Engine) -> None:
    layers, width = engine.info.num_ws, engine.info.w_dim
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(layers, width)).astype(np.float32)
    step = rng.normal(size=width).astype(np.float32)
    engine.register({"place@1": latent, "step@2": step})
    own = styles(engine, prompt="sea")
    assert torch.equal(styles(engine, prompt="sea", mixes=(Mix(latent="place@1"),)), torch.from_numpy(latent))
    pushed = styles(engine, prompt="sea", pushes=(Push(direction="step@2", amount=-2.0, first=2, stop=4),))
    assert torch.equal(pushed[:2], own[:2])
    torch.testing.assert_close(pushed[2:4], own[2:4] - 2.0 * torch.from_numpy(step))
    assert torch.equal(pushed[4:], own[4:])
    # Renamed since, it is the same direction.
    push = Push(direction="stride@2", amount=-2.0, first=2, stop=4)
    assert torch.equal(styles(engine, prompt="sea", pushes=(push,)), pushed)
    with pytest.raises(EngineError, match="tiny knows no direction or latent 'snow'"):
        styles(engine, pushes=(Push(direction="snow@ffff"),))
    with pytest.raises(EngineError, match=rf"expected \[{width}\] or \[{layers}, {width}\] numbers"):
        engine.register({"odd@3": latent[:, :-1]})


def test_a_picture_on_its_way_from_another(engine: Engine) -> None:
    a, b = RenderRequest(prompt="sea", seed_x=1), RenderRequest(prompt="house", seed_x=800, psi=0.5)
    way = engine.ws(replace(b, origin=a, arrived=0.25))
    torch.testing.assert_close(way, engine.ws(a) + 0.25 * (engine.ws(b) - engine.ws(a)))
    assert torch.equal(engine.ws(replace(b, origin=a, arrived=1.0)), engine.ws(b))
    assert torch.equal(engine.ws(replace(b, origin=a, arrived=0.0)), engine.ws(a))


def test_four_prompts_on_a_pad(engine: Engine) -> None:
    four = {"prompt": "sea", "prompt_b": "house", "prompt_c": "snowy", "prompt_d": "night", "seed_x": 2.0}
    for right, below, prompt in ((0.0, 0.0, "sea"), (1.0, 0.0, "house"), (0.0, 1.0, "snowy"), (1.0, 1.0, "night")):
        corner = styles(engine, **four, blend=right, blend_y=below)
        assert torch.equal(corner, styles(engine, prompt=prompt, seed_x=2.0))
    edge = styles(engine, prompt="snowy", prompt_b="night", blend=0.3, seed_x=2.0)
    assert torch.equal(styles(engine, **four, blend=0.3, blend_y=1.0), edge)
    middle = pixels(engine, **four, blend=0.4, blend_y=0.5)
    assert difference(middle, pixels(engine, **four, blend=0.4, blend_y=0.6)) > 0
    assert difference(middle, pixels(engine, **four, blend=0.5, blend_y=0.5)) > 0
