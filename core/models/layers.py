"""What the generator families share: equalised linear layers, modulated convolution, resampling and activation.

Sources: equalised learning rate from Progressive GAN (section 4.1), weight modulation and demodulation from StyleGAN2
(section 2.2, equations 1 to 3), the binomial resampling filter from StyleGAN (section 2).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2
CLAMP = 256.0


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
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (weight_std / lr_multiplier))
        start = torch.as_tensor(bias, dtype=torch.float32).expand(outputs)
        self.bias = nn.Parameter(start / lr_multiplier)
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x_NI: Tensor) -> Tensor:
        """[N, inputs] -> [N, outputs]."""
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        return F.linear(x_NI, self.weight * self.weight_gain, bias)


def normalise_second_moment(x_NC: Tensor) -> Tensor:
    """Scale every row to a mean square of one (Progressive GAN, section 4.2)."""
    return x_NC * (x_NC.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def demodulation(weight_OIHW: Tensor, style_NI: Tensor) -> Tensor:
    """The factor that brings each output map back to unit variance, [N, O] (StyleGAN2, equation 3; epsilon 1e-8)."""
    power_OI = weight_OIHW.square().sum(dim=(2, 3))
    return (style_NI.square() @ power_OI.T + 1e-8).rsqrt()


def modulated_conv2d(
    x_NIHW: Tensor, weight_OIHW: Tensor, style_NI: Tensor, *, demodulate: bool = True, up: bool = False
) -> Tensor:
    """Convolution whose kernel is scaled per sample by a style, [N, I, H, W] -> [N, O, H, W], or twice the size with
    `up`.

    Scaling the input and the output instead of the kernel keeps one kernel for the batch (StyleGAN2, equations 1 to 3).
    The arithmetic runs in the type of `x_NIHW`; the factors are worked out in float32. In half precision weight and
    style are first divided by their largest magnitude, which demodulation cancels again, so that nothing overflows.
    """
    half = x_NIHW.dtype in (torch.float16, torch.bfloat16)
    if half and demodulate:
        weight_OIHW = weight_OIHW / weight_OIHW.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        style_NI = style_NI / style_NI.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
    x_NIHW = x_NIHW * style_NI[:, :, None, None].to(x_NIHW.dtype)
    kernel = weight_OIHW.to(x_NIHW.dtype)
    y_NOHW = up_convolution(x_NIHW, kernel) if up else F.conv2d(x_NIHW, kernel, padding=kernel.shape[-1] // 2)
    if demodulate:
        y_NOHW = y_NOHW * demodulation(weight_OIHW, style_NI)[:, :, None, None].to(y_NOHW.dtype)
    return y_NOHW


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


def bias_activation(x_NCHW: Tensor, bias_C: Tensor, *, gain: float, clamp: float) -> Tensor:
    """Bias, leaky ReLU 0.2, gain, and a clamp at +-`clamp`, in every precision. Overwrites `x_NCHW`, which must not be
    used again.
    """
    # Working in place halves the memory traffic, which is what elementwise work costs on a CPU.
    y = F.leaky_relu_(x_NCHW.add_(bias_C[:, None, None].to(x_NCHW.dtype)), LEAK)
    if gain != 1.0:
        y = y * gain
    return F.hardtanh(y, -clamp, clamp)
