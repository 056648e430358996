"""Published generators become ours: the same picture bit for bit, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.checkpoints.pickles import Published, PublishedError
from core.checkpoints.published import Conversion, convert
from core.models import registry
from tests.core.checkpoints import published_models as models
from tests.core.checkpoints.lookalikes import dumps, snapshot
from tests.core.checkpoints.published_models import assert_same_pictures, saved


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 3, "conv_clamp": 256.0},
        {"architecture": "resnet", "mapping_layers": 1},
        {"architecture": "orig", "use_noise": False},
        {"size": (4, 7), "mapping_features": 9, "c_dim": 2, "embed_features": 5},
        {"block_channels": (6, 9, 4), "mapping_lr_multiplier": 0.02},
    ],
)
def test_stylegan2(imported: Callable[[nn.Module], Conversion], changes: dict[str, Any]) -> None:
    model = models.stylegan2_model(**changes)
    conversion = imported(models.stylegan2_shell(model))
    assert (conversion.kind, conversion.family) == ("StyleGAN2", "stylegan2")
    assert conversion.classes == changes.get("c_dim", 0)
    assert_same_pictures(conversion, model)


def test_old_files_nest_their_arguments(imported: Callable[[nn.Module], Conversion]) -> None:
    model = models.stylegan2_model()
    old, new = (imported(models.stylegan2_shell(model, old=old)) for old in (True, False))
    assert old.config == new.config
    assert_same_pictures(old, model)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("StyleGAN3-T", {}),
        ("StyleGAN3-R", {"kernel": 1, "radial": True, "c_dim": 2}),
        ("StyleGAN3-T", {"filter_size": 4, "output_scale": 0.5, "conv_clamp": None, "margin": 3}),
    ],
)
def test_stylegan3(imported: Callable[[nn.Module], Conversion], kind: str, changes: dict[str, Any]) -> None:
    model = models.stylegan3_model(**changes)
    conversion = imported(models.stylegan3_shell(model))
    assert (conversion.kind, conversion.family) == (kind, "stylegan3")
    assert_same_pictures(conversion, model)


def test_stylegan3_sizes_are_width_first_in_a_file(imported: Callable[[nn.Module], Conversion]) -> None:
    square = models.stylegan3_model().config
    wide = [
        {**vars(spec), "in_size": (spec.in_size[0], spec.in_size[1] + 6),
         "out_size": (spec.out_size[0], spec.out_size[1] + 6)}
        for spec in square.layer_specs
    ]  # fmt: skip
    model = models.stylegan3_model(layers=tuple(wide))
    conversion = imported(models.stylegan3_shell(model))
    assert conversion.size == (16, 22)
    assert_same_pictures(conversion, model)


def test_stylegan_t_with_its_own_text_tower(imported: Callable[[nn.Module], Conversion]) -> None:
    model, tower = models.stylegan_t_model(), models.text_tower()
    conversion = imported(models.stylegan_t_shell(model, tower))
    assert (conversion.kind, conversion.family) == ("StyleGAN-T", "stylegan_t")
    assert_same_pictures(conversion, model)
    from core.text import load_text_encoder

    assert conversion.text is not None
    encoder = load_text_encoder(conversion.text, conversion.text_tensors)
    ours = encoder.encode(["a house by the sea"])
    tokens = encoder._tokenizer(["a house by the sea"])
    # open_clip sums in another order.
    torch.testing.assert_close(ours, nn.functional.normalize(tower.eval()(tokens), dim=-1), rtol=1e-5, atol=1e-6)


def test_stylegan_t_without_a_tower(imported: Callable[[nn.Module], Conversion]) -> None:
    conversion = imported(models.stylegan_t_shell(models.stylegan_t_model(text_dim=768)))
    assert conversion.text == {"kind": "open_clip", "model": "ViT-L-14-quickgelu", "pretrained": "openai"}
    with pytest.raises(PublishedError, match="no published one is known to give 16"):
        imported(models.stylegan_t_shell(models.stylegan_t_model()))


def test_half_precision_stays_as_stored(imported: Callable[[nn.Module], Conversion]) -> None:
    for model in (models.stylegan2_model(c_dim=2).half(), models.stylegan3_model().bfloat16()):
        for tensor in model.buffers():
            tensor.data = tensor.data.float()  # files keep their filters and averages in float32
        made = models.stylegan2_shell if model.has_noise else models.stylegan3_shell
        conversion = imported(made(model))  # type: ignore[operator]
        assert conversion.generator["mapping.fc0.weight"].dtype in (torch.float16, torch.bfloat16)
        assert conversion.generator["mapping.w_avg"].dtype == torch.float32
        assert_same_pictures(conversion, model)


# --- state dicts ----------------------------------------------------------------------------------------------------


WIDE = {"z_dim": 16, "w_dim": 16}


@pytest.mark.parametrize(
    "changes",
    [{"c_dim": 3}, {"architecture": "resnet"}, {"architecture": "orig", "size": (4, 5)}, {"use_noise": False}],
)
def test_state_dicts_of_stylegan2(published: Callable[[bytes], Published], changes: dict[str, Any]) -> None:
    model = models.stylegan2_model(conv_clamp=256.0, **(WIDE | changes))
    conversion = convert(published(saved({"g_ema": model.state_dict(), "iteration": 3})))
    assert_same_pictures(conversion, model)
    assert "activations clamped at 256, as ADA's trainer does" in conversion.assumed


@pytest.mark.parametrize("changes", [{}, {"kernel": 1, "radial": True}])
def test_state_dicts_of_stylegan3(published: Callable[[bytes], Published], changes: dict[str, Any]) -> None:
    rule = {"resolution": 32, "z_dim": 16, "w_dim": 16, "base_channels": 64, "max_channels": 3, **changes}
    config = registry.FAMILIES["stylegan3"].config(**rule)
    model: Any = models.stirred(lambda: registry.FAMILIES["stylegan3"].generator(config))
    conversion = convert(published(saved(model.state_dict())))
    assert_same_pictures(conversion, model)
    other = models.stylegan3_model(z_dim=16, w_dim=16)  # another schedule than the published one
    with pytest.raises(
        PublishedError, match="expected layers L0_36_4, .* by StyleGAN3's published schedule, got L0_12_4"
    ):
        convert(published(saved(other.state_dict())))


def test_the_order_of_a_state_dict_does_not_matter(published: Callable[[bytes], Published]) -> None:
    deep = models.stylegan2_model(conv_clamp=256.0, mapping_layers=12, mapping_features=20, **WIDE)
    rule = {"resolution": 32, "base_channels": 64, "max_channels": 3, **WIDE}
    config = registry.FAMILIES["stylegan3"].config(**rule)
    many: Any = models.stirred(lambda: registry.FAMILIES["stylegan3"].generator(config))
    for model in (deep, many):  # sorted as text, fc10 comes before fc2, b16 before b4 and L10 before L2
        state = dict(sorted(model.state_dict().items()))
        assert_same_pictures(convert(published(saved(state))), model)
        assert_same_pictures(convert(published(saved(dict(reversed(state.items()))))), model)


def test_state_dicts_that_do_not_say_enough(published: Callable[[bytes], Published]) -> None:
    states: dict[str, tuple[dict[str, Tensor], str]] = {
        "scale": (models.stylegan2_model(mapping_lr_multiplier=1.0).state_dict(), "the scale that they are used at"),
        "text": (models.stylegan_t_shell(models.stylegan_t_model()).state_dict(), "the groups of its norms"),
        "one": (
            models.stylegan2_model(conv_clamp=256.0, **WIDE).state_dict() | {"mapping.fc1.weight": torch.ones(1, 1)},
            "mapping.fc1.weight: expected numbers of about 100, got 0,",
        ),
        "shape": (
            models.stylegan2_model(conv_clamp=256.0, **WIDE).state_dict() | {"mapping.fc1.weight": torch.ones(1)},
            "mapping.fc1.weight: expected a tensor of 2 dimensions",
        ),
        "deep": ({".".join(["a"] * 5000): torch.ones(2)}, "names of at most 50 levels"),
        "bare": (
            {"synthesis.b4.const": torch.ones(2), "synthesis.b4.conv1.affine.bias": torch.ones(2)},
            "mapping: exp",
        ),
        "other": ({"convs.0.weight": torch.ones(2)}, "got tensors convs.0.weight"),
    }
    for state, message in states.values():
        with pytest.raises(PublishedError, match=message):
            convert(published(saved(state)))


# --- what is refused ------------------------------------------------------------------------------------------------


def two() -> nn.Module:
    return models.stylegan2_shell(models.stylegan2_model())


def three() -> nn.Module:
    return models.stylegan3_shell(models.stylegan3_model())


def text() -> nn.Module:
    return models.stylegan_t_shell(models.stylegan_t_model(), models.text_tower())


def put(path: str, value: Any) -> Callable[[nn.Module], None]:
    """Sets an attribute, parameter or buffer by its dotted name; None deletes a tensor or a module."""

    def change(root: nn.Module) -> None:
        where, _, name = path.rpartition(".")
        module: Any = root.get_submodule(where)
        if name in module._modules:
            del module._modules[name]
        elif name in module._parameters or name in module._buffers:
            section = module._parameters if name in module._parameters else module._buffers
            section.pop(name)
            if value is not None:
                section[name] = value(root) if callable(value) else value
        elif isinstance(value, Tensor):
            module.register_buffer(name, value)
        else:
            module.__dict__[name] = value

    return change


def second_input(root: nn.Module) -> None:
    root.get_submodule("synthesis.b16").input = root.get_submodule("synthesis.b8.input")


def without_filters(root: nn.Module) -> None:
    for name in ("synthesis.b16", "synthesis.b16.conv0"):
        del root.get_submodule(name)._buffers["resample_filter"]


def other_heads(root: nn.Module) -> None:
    block = models.text_tower().get_submodule("transformer.resblocks.0")
    block.attn.num_heads = 1  # type: ignore[union-attr, assignment]
    root.get_submodule("mapping.clip.model.transformer.resblocks").append(block)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (two, put("synthesis.b8.conv0.activation", "relu"), "b8.conv0.activation: expected 'lrelu', got 'relu'"),
        (two, put("mapping.fc1.activation", "swish"), "mapping.fc1.activation: expected 'lrelu', got 'swish'"),
        (two, put("synthesis.b8.resample_filter", torch.ones(4, 4) / 16), "synthesis.b8.resample_filter: expected"),
        (two, put("synthesis.b8.conv1.resample_filter", torch.ones(12)), "expected a tensor of 2 dimensions"),
        (two, put("synthesis.b8.conv1.noise_strength", None), "lacks tensors synthesis.b8.conv1.noise_strength"),
        (two, put("synthesis.b8.conv1.extra", torch.ones(2)), "has spare tensors synthesis.b8.conv1.extra"),
        (two, put("synthesis.b8.conv1.bias", torch.ones(3)), "synthesis.b8.conv1.bias: expected shape"),
        (two, put("synthesis.b8.conv1.bias", torch.ones(8).double()), "conv1.bias: expected floating point"),
        (two, put("synthesis.b8.conv1.bias", torch.full((8,), torch.nan)), "conv1.bias holds values that are not"),
        (two, put("mapping.w_avg", torch.full((7,), torch.inf)), "mapping.w_avg holds values that are not finite"),
        (two, put("synthesis.b8.architecture", "dense"), "expected the same for all layers"),
        (two, put("synthesis.b8.conv1.conv_clamp", 3.0), "conv_clamp: expected the same for all layers"),
        (two, put("synthesis.b8.conv1.act_gain", 1.0), "conv1.act_gain: expected 1.414"),
        (two, put("synthesis.b8.conv1.affine.weight_gain", 1.0), "affine.weight_gain: expected 0.37"),
        (two, put("synthesis.b8.conv1.up", np.ones(20)), "conv1.up: expected 1, got tensor"),
        (two, put("synthesis.b8.architecture", ["skip"]), "expected the same for all layers"),
        (two, put("synthesis.img_channels", 4), "img_channels: expected 3, got 4"),
        (two, put("synthesis.b8", None), "expected blocks b4, b8"),
        (
            two,
            put("synthesis.b4", None),
            "expected a generator of FastGAN, R3GAN, StyleGAN-T, StyleGAN-XL, StyleGAN2, Style",
        ),
        (two, put("mapping", None), "mapping: expected a module, got none among synthesis"),
        (two, put("mapping.z_dim", "six"), "mapping.z_dim: expected a number, got 'six'"),
        (two, put("mapping.z_dim", 7), "expected shape"),
        (three, put("synthesis.layer_names", ["L0"]), "synthesis.L0: expected a module"),
        (three, put("synthesis.layer_names", 3), "layer_names: expected a list of names, got 3"),
        (three, put("synthesis.input.size", "big"), "input.size: expected width and height, got 'big'"),
        (three, put("synthesis.input.size", float("inf")), "input.size: expected width and height, got inf"),
        (three, put("synthesis.input.bandwidth", float("nan")), "input.bandwidth: expected a number, got nan"),
        (three, put("synthesis.input.freqs", None), "lacks tensors synthesis.input.freqs"),
        (three, put("synthesis.output_scale", 0), "output_scale: expected a number above 0"),
        (text, put("synthesis.b8.input.bandwidth", 3), "input.bandwidth: expected 2.0, got 3"),
        (text, put("synthesis.b8.input.transform", torch.ones(3, 3)), "transform: expected the identity"),
        (text, put("synthesis.b16.conv0.extra", torch.ones(2)), "spare tensors synthesis.b16.conv0.extra"),
        (text, put("synthesis.b16.conv0.bias", None), "lacks tensors synthesis.b16.conv0.bias"),
        (text, put("synthesis.b16.conv0.conv_clamp", None), "conv_clamp: expected 256.0, got None"),
        (text, put("mapping.clip.model.ln_final", None), "expected open_clip's text tower, got another: ln_final"),
        (text, put("synthesis.b16.conv0.up", 4), "expected pairs of convolutions"),
        (text, put("synthesis.b8.convs1.0.up", 4), "synthesis.b8.convs1.0.up: expected 1, got 4"),
        (text, without_filters, "lacks tensor synthesis.b16.resample_filter"),
        (text, put("synthesis.b8.input.size", 16), "synthesis.b8.input.size: expected [8, 8], got 16"),
        (
            text,
            put("synthesis.b8.convs1.1.gamma", torch.ones(1, 2, 6, 1)),
            "convs1.1.gamma: expected shape [12], got [1, 2",
        ),
        (text, put("synthesis.b8.convs1.1.gamma", torch.ones(())), "convs1.1.gamma: expected shape [12], got []"),
        (text, second_input, "synthesis.b16.input.freqs: expected one such tensor, got synthesis.b8.input.freqs too"),
        (text, put("mapping.clip.extra", torch.ones(2)), "spare tensors mapping.clip.extra beside its text tower"),
        (
            text,
            put("mapping.clip.model.transformer", None),
            "expected open_clip's text tower, got tensors mapping.clip",
        ),
        (text, put("mapping.clip.model.transformer.resblocks", None), "resblocks: expected a module"),
        (
            text,
            put("mapping.clip.model.token_embedding.weight", None),
            "lacks tensor mapping.clip.model.token_embedding.w",
        ),
        (
            text,
            put("mapping.clip.model.ln_final.bias", torch.ones(16).long()),
            "clip.model.ln_final.bias: expected float",
        ),
        (text, put("mapping.clip.model.ln_final.eps", 0.1), "mapping.clip.model.ln_final.eps: expected 1e-05, got 0.1"),
        (text, other_heads, "mapping.clip.model.transformer.resblocks: heads: expected the same"),
        (text, put("mapping.clip.model.transformer.resblocks.0.attn.num_heads", 0), "text_cfg heads: expected int"),
    ],
)
def test_each_fault_has_its_message(
    imported: Callable[[nn.Module], Conversion],
    make: Callable[[], nn.Module],
    change: Callable[[nn.Module], None],
    message: str,
) -> None:
    module = make()
    change(module)
    with pytest.raises(PublishedError) as caught:
        imported(module)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_layer_that_steps_otherwise(imported: Callable[[nn.Module], Conversion]) -> None:
    module = three()
    name = module.synthesis.layer_names[1]  # type: ignore[union-attr]
    module.synthesis.get_submodule(name).padding = [0, 0, 0, 0]  # type: ignore[union-attr]
    with pytest.raises(PublishedError, match=rf"synthesis.{name}.padding: expected"):
        imported(module)


def test_hooks_are_refused(imported: Callable[[nn.Module], Conversion]) -> None:
    from tests.core.checkpoints.lookalikes import EasyDict

    module = two()
    module.get_submodule("synthesis.b8.conv1")._forward_pre_hooks[0] = EasyDict()  # type: ignore[assignment]
    with pytest.raises(PublishedError, match=r"synthesis.b8.conv1: expected no hooks, got an object of dnnlib"):
        imported(module)


def test_a_module_that_is_no_generator(published: Callable[[bytes], Published]) -> None:
    with pytest.raises(PublishedError, match="got a module of class 'Linear' with parts nothing"):
        convert(published(dumps(snapshot(nn.Linear(2, 2)))))
