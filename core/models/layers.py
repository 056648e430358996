"""What the generator families share: equalised linear layers, the mapping from z and label, Fourier features, modulated
convolution, noise, resampling and activation.

Sources: equalised learning rate from Progressive GAN (section 4.1), mapping network, noise and the binomial resampling
filter from StyleGAN (section 2), weight modulation and demodulation from StyleGAN2 (section 2.2, equations 1 to 3),
Fourier features from StyleGAN3 (section 3 and appendix F).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import Conditioning, LayerInfo
from core.models.family import require_latents
from core.request import DEFAULT_OPTIONS, IDENTITY_TRANSFORM, SynthesisOptions

LEAK = 0.2
CLAMP = 256.0


def drawn(*shape: int, std: float = 1.0) -> Tensor:
    """Normally distributed numbers to start training from; on the meta device, where there are no numbers, none are
    drawn: torch would import its compiler for it.
    """
    values = torch.empty(*shape)
    return values if values.is_meta else values.normal_().mul_(std)


def embedding(count: int, width: int, *, std: float = 1.0) -> nn.Embedding:
    """A table of `drawn` rows."""
    return nn.Embedding(count, width, _weight=drawn(count, width, std=std))


class Dense(nn.Module):
    """Fully connected layer with an equalised learning rate: weights live at unit scale and are scaled as they are
    used.

    `weight_std` is the initial standard deviation of the stored weight before the learning-rate multiplier is taken
    out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: float | list[float] = 0.0,
        lr_multiplier: float = 1.0,
        weight_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(outputs, inputs, std=weight_std / lr_multiplier))
        biases = bias if isinstance(bias, list) else [bias] * outputs
        self.bias = nn.Parameter(torch.tensor([value / lr_multiplier for value in biases], dtype=torch.float32))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x_NI: Tensor) -> Tensor:
        """[N, inputs] -> [N, outputs]."""
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        return F.linear(x_NI, self.weight * self.weight_gain, bias)


def normalise_second_moment(x_NC: Tensor) -> Tensor:
    """Scale every row to a mean square of one (Progressive GAN, section 4.2)."""
    return x_NC * (x_NC.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """z and label -> w in StyleGAN2 and StyleGAN3: both at unit second moment and joined, then fully connected layers.

    All layers end in a leaky ReLU, the last one too. The label, if there is one, is first embedded by a linear layer.
    Names are those of the published files: `embed`, `fc0`, `fc1`, ..., and `w_avg`, the average that truncation moves
    to.
    """

    w_avg: Tensor
    embed: nn.Module

    def __init__(
        self,
        *,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        layers: int,
        hidden: int | None = None,
        embed: int | None = None,
        lr_multiplier: float = 0.01,
    ) -> None:
        """`hidden` is the width between the layers and `embed` that of the embedded label; `None` is `w_dim`."""
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        embed = (embed or w_dim) if c_dim else 0
        if c_dim:
            self.embed = Dense(c_dim, embed)
        self.layers: list[str] = []
        inputs = z_dim + embed
        for index in range(layers):
            outputs = w_dim if index == layers - 1 else (hidden or w_dim)
            self.layers.append(f"fc{index}")
            self.add_module(self.layers[-1], Dense(inputs, outputs, lr_multiplier=lr_multiplier))
            inputs = outputs
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z_NZ: Tensor, c_NC: Tensor | None = None) -> Tensor:
        """[N, Z] and the label [N, C] (one-hot, or any mixture of classes; None without classes) -> w [N, W]."""
        require_latents(z_NZ, self.z_dim, c_NC, self.c_dim)
        x = normalise_second_moment(z_NZ)
        if c_NC is not None and self.c_dim:
            x = torch.cat([x, normalise_second_moment(self.embed_label(c_NC))], dim=1)
        for name in self.layers:
            h: Tensor = self.get_submodule(name)(x)
            x = F.leaky_relu(h, LEAK) * math.sqrt(2)
        return x

    def embed_label(self, c_NC: Tensor) -> Tensor:
        """[N, C] -> [N, E], not yet normalised. A family that embeds its label in another way overrides this."""
        y: Tensor = self.embed(c_NC)
        return y

    @torch.no_grad()
    def update_average(self, w_NW: Tensor, decay: float = 0.995) -> None:
        """Move `w_avg` towards the batch mean; a trainer calls it once per generator step."""
        self.w_avg.lerp_(w_NW.mean(dim=0).to(self.w_avg.dtype), 1 - decay)


def truncated_styles(w_NW: Tensor, w_avg: Tensor, count: int, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """One w for each of `count` layers, [N, count, W]: the first `cutoff` of them (all if None) moved to
    w_avg + psi (w - w_avg) (StyleGAN, section 3 and appendix B).
    """
    cutoff = count if cutoff is None else cutoff
    if not 0 <= cutoff <= count:
        raise ValueError(f"cutoff: expected a number of layers from 0 to {count}, got {cutoff}")
    moved = w_NW if psi == 1.0 else w_avg + psi * (w_NW - w_avg)
    return torch.cat([moved[:, None].expand(-1, cutoff, -1), w_NW[:, None].expand(-1, count - cutoff, -1)], dim=1)


class MappedGenerator(nn.Module):
    """The half that the StyleGANs share: `mapping` and `synthesis`, under the published files' names."""

    mapping: Mapping
    synthesis: nn.Module

    def __init__(self, mapping: Mapping, synthesis: nn.Module, num_ws: int) -> None:
        super().__init__()
        self.mapping = mapping
        self.synthesis = synthesis
        self.num_ws = num_ws

    @property
    def conditioning(self) -> Conditioning:
        return "class" if self.mapping.c_dim else "none"

    @property
    def z_dim(self) -> int:
        return self.mapping.z_dim

    @property
    def c_dim(self) -> int:
        return self.mapping.c_dim

    @property
    def w_dim(self) -> int:
        return self.mapping.w_dim

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w for every layer, [N, num_ws, W], the first `cutoff` truncated (all if None). `c_NC`: class weights."""
        return truncated_styles(self.mapping(z_NZ, c_NC), self.mapping.w_avg, self.num_ws, psi, cutoff)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        """The style of a layer at w, [N, W] -> [N, S]."""
        y: Tensor = self.get_submodule(f"{layer.name}.affine")(w_NW)
        return y

    def forward(
        self,
        z_NZ: Tensor,
        c_NC: Tensor | None = None,
        psi: float = 1.0,
        options: SynthesisOptions = DEFAULT_OPTIONS,
    ) -> Tensor:
        """[N, Z] and the label [N, C] or None -> pictures [N, 3, H, W]."""
        rgb: Tensor = self.synthesis(self.map(z_NZ, c_NC, psi), options)
        return rgb


def styles_by_layer(w: Tensor, count: int) -> list[Tensor]:
    """[N, W], the same for every layer, or [N, count, W] -> `count` styles [N, W]."""
    if w.ndim == 3 and w.shape[1] != count:
        raise ValueError(f"w: expected {count} styles, got {w.shape[1]}")
    return [w] * count if w.ndim == 2 else list(w.unbind(dim=1))


def random_frequencies(channels: int, bandwidth: float) -> Tensor:
    """[C, 2]: random directions, all lengths at most `bandwidth` and spread over its disc."""
    normal = drawn(channels, 2)
    if normal.is_meta:
        return normal
    radius: Tensor = normal.norm(dim=1, keepdim=True)
    return bandwidth * normal / radius / radius.square().exp().pow(0.25)


def fourier_features(
    frequencies_C2: Tensor,
    phases_C: Tensor,
    pose_N4: Tensor,
    transform: Tensor | None,
    *,
    size: tuple[int, int],
    rate: float,
    bandwidth: float,
) -> Tensor:
    """Plane waves sampled at pixel centres, [N, C, H, W].

    `size` is (H, W) in pixels, `rate` in pixels per unit of length: the samples cover size / rate around the origin.
    `pose_N4` is (cos, sin, x, y) up to the length of (cos, sin): it turns and then moves the coordinates, and the
    user's `transform`, [3, 3] or [N, 3, 3], acts on them first.
    """
    t_N4 = pose_N4 / pose_N4[:, :2].norm(dim=1, keepdim=True)
    c, s, x, y = t_N4.unbind(dim=1)
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rotation = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).view(-1, 3, 3)
    translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
    m_N33 = rotation @ translation
    if transform is not None:
        m_N33 = m_N33 @ transform.to(m_N33)

    # Moving the coordinates is the same as moving phases and frequencies.
    phases_NC = phases_C + (frequencies_C2 @ m_N33[:, :2, 2:]).squeeze(2)
    moved_NC2 = frequencies_C2 @ m_N33[:, :2, :2]
    # Frequencies that the user's zoom pushes towards half the sampling rate fade out instead of aliasing.
    radius_NC: Tensor = moved_NC2.norm(dim=2)
    amplitude_NC = (1 - (radius_NC - bandwidth) / (rate / 2 - bandwidth)).clamp(0, 1)

    def centres(count: int) -> Tensor:
        index = torch.arange(count, device=pose_N4.device, dtype=pose_N4.dtype)
        return ((index + 0.5) / count - 0.5) * (count / rate)

    rows, columns = centres(size[0])[:, None], centres(size[1])
    angle = moved_NC2[:, :, None, None, 0] * columns + moved_NC2[:, :, None, None, 1] * rows
    return torch.sin(2 * math.pi * (angle + phases_NC[:, :, None, None])) * amplitude_NC[:, :, None, None]


def demodulation(weight_OIHW: Tensor, style_NI: Tensor) -> Tensor:
    """The factor that brings each output map back to unit variance, [N, O] (StyleGAN2, equation 3; epsilon 1e-8)."""
    power_OI = weight_OIHW.square().sum(dim=(2, 3))
    return (style_NI.square() @ power_OI.T + 1e-8).rsqrt()


def modulated_conv2d(
    x_NIHW: Tensor,
    weight_OIHW: Tensor,
    style_NI: Tensor,
    *,
    demodulate: bool = True,
    up: bool = False,
    padding: int | None = None,
    input_gain: Tensor | None = None,
) -> Tensor:
    """Convolution whose kernel is scaled per sample by a style, [N, I, H, W] -> [N, O, H, W], or twice the size with
    `up`. `padding` is in pixels on each side (None keeps the size); `input_gain` scales the input alone, so that
    demodulation does not see it.

    Scaling the input and the output instead of the kernel keeps one kernel for the batch (StyleGAN2, equations 1 to 3).
    The arithmetic runs in the type of `x_NIHW`; the factors are worked out in float32. In half precision weight and
    style are first divided by their largest magnitude, which demodulation cancels again, so that nothing overflows.
    """
    half = x_NIHW.dtype in (torch.float16, torch.bfloat16)
    if half and demodulate:
        weight_OIHW = weight_OIHW / weight_OIHW.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        style_NI = style_NI / style_NI.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
    scale_NI = style_NI if input_gain is None else style_NI * input_gain
    x_NIHW = x_NIHW * scale_NI[:, :, None, None].to(x_NIHW.dtype)
    kernel = weight_OIHW.to(x_NIHW.dtype)
    if up:
        y_NOHW = up_convolution(x_NIHW, kernel)
    else:
        y_NOHW = F.conv2d(x_NIHW, kernel, padding=kernel.shape[-1] // 2 if padding is None else padding)
    if demodulate:
        y_NOHW = y_NOHW * demodulation(weight_OIHW, style_NI)[:, :, None, None].to(y_NOHW.dtype)
    return y_NOHW


def noise_source(options: SynthesisOptions, generator: torch.Generator | None) -> torch.Generator | None:
    """What draws the noise of mode "random": `generator`, or where there is none one seeded by the options."""
    if generator is None and options.noise == "random":
        # On the CPU, so that a seed gives the same noise on every device.
        return torch.Generator("cpu").manual_seed(options.noise_seed)
    return generator


def input_transform(options: SynthesisOptions, like: Tensor) -> Tensor | None:
    """The options' transform of the input's coordinates, [3, 3] of the type and device of `like`; None for identity."""
    if options.transform == IDENTITY_TRANSFORM:
        return None
    return torch.tensor(options.transform, dtype=like.dtype, device=like.device).view(3, 3)


def spatial_noise(
    const_HW: Tensor,
    strength: Tensor,
    batch: int,
    options: SynthesisOptions,
    generator: torch.Generator | None,
) -> Tensor | None:
    """Noise to add to every channel, [H, W] or [N, 1, H, W], or None (StyleGAN, section 2). `generator` draws that of
    mode "random" (`noise_source`).
    """
    if options.noise == "none" or options.noise_strength == 0.0:
        return None
    strength = strength * options.noise_strength
    if options.noise == "const":
        return const_HW * strength
    # Drawn where the generator lives, so that a seed gives the same noise on every device.
    device = generator.device if generator is not None else const_HW.device
    return torch.randn(batch, 1, *const_HW.shape, generator=generator, device=device).to(const_HW) * strength


def binomial_filter(channels: int, like: Tensor) -> Tensor:
    """outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16 for every channel, [C, 1, 4, 4]: unit gain after zeros were inserted."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device) / 4
    return torch.outer(row, row).expand(channels, 1, 4, 4)


def up_convolution(x_NIHW: Tensor, weight_OIHW: Tensor) -> Tensor:
    """Insert zeros (x2), true 3x3 convolution, low-pass: [N, I, H, W] -> [N, O, 2H, 2W].

    A transposed convolution is exactly the first two steps: it scatters the kernel, so it is not flipped as in
    `conv2d`.
    """
    y = F.conv_transpose2d(x_NIHW, weight_OIHW.transpose(0, 1), stride=2)  # [N, O, 2H + 1, 2W + 1]
    return F.conv2d(y, binomial_filter(y.shape[1], y), padding=1, groups=y.shape[1])


def upsample(x_NCHW: Tensor) -> Tensor:
    """Twice the size with the binomial filter; outside the picture counts as zero."""
    return F.conv_transpose2d(
        x_NCHW, binomial_filter(x_NCHW.shape[1], x_NCHW), stride=2, padding=1, groups=x_NCHW.shape[1]
    )


def bias_activation(x_NCHW: Tensor, bias_C: Tensor, *, gain: float, clamp: float | None) -> Tensor:
    """Bias, leaky ReLU 0.2, gain, and a clamp at +-`clamp` if there is one, in every precision. Overwrites `x_NCHW`,
    which must not be used again.
    """
    # Working in place halves the memory traffic, which is what elementwise work costs on a CPU.
    y = F.leaky_relu_(x_NCHW.add_(bias_C[:, None, None].to(x_NCHW.dtype)), LEAK)
    if gain != 1.0:
        y = y * gain
    return y if clamp is None else F.hardtanh(y, -clamp, clamp)
