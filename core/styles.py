"""From a request to the styles of its picture: prompts, classes and seeds blended, truncated, mixed and pushed.

The embedding of each prompt and the mapped latent of each seed are kept. Every cached value is computed from its own
inputs only, always at batch 1, so that equal requests have bit-equal styles.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.latents import blend_embeddings, lerp, seed_corners, seed_to_z
from core.model_info import EngineError, ModelInfo
from core.models.family import Generator
from core.request import Mix, RenderRequest
from core.text import TextEncoder
from core.vectors import digest_of, name_of
from core.weighting import embed

CACHED_LATENTS = 4096


class Styles:
    """Of one generator, of which it keeps the mapping only."""

    def __init__(self, generator: Generator, text: TextEncoder | None, info: ModelInfo, device: torch.device) -> None:
        self._map = generator.map
        self._text = text
        self._info = info
        self._device = device
        self._latents: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._vectors: dict[str, Tensor] = {}
        """By digest: what is called otherwise by now is the same vector."""

    def register(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """As `Engine.register`."""
        for name, values in vectors.items():
            if values.shape not in ((self._info.w_dim,), (self._info.num_ws, self._info.w_dim)):
                raise EngineError(
                    f"{name}: expected [{self._info.w_dim}] or [{self._info.num_ws}, {self._info.w_dim}] numbers, as "
                    f"{self._info.name} has styles, got {list(values.shape)}"
                )
            self._vectors[digest_of(name)] = torch.from_numpy(np.array(values, dtype=np.float32)).to(self._device)

    def unregister(self, names: Iterable[str]) -> None:
        """As `Engine.unregister`."""
        for name in names:
            self._vectors.pop(digest_of(name), None)

    def embeddings(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """As `Engine.embeddings`."""
        if self._text is None:
            raise EngineError(f"{self._info.name} takes no text, so prompts have no embeddings")
        if not prompts:
            return np.zeros((0, self._text.dim), np.float32)
        rows: NDArray[np.float32] = torch.stack([embed(self._text, prompt) for prompt in prompts]).cpu().numpy()
        return rows

    def ws(self, request: RenderRequest) -> Tensor:
        """As `Engine.ws`."""
        with torch.inference_mode():
            ws_1LW = self._truncated(request)
            if request.mixes or request.pushes:
                ws_1LW = ws_1LW.clone()
            for mix in request.mixes:
                if mix.amount == 0.0:
                    continue  # switched off: what it would take from need not be there
                layers = slice(mix.first, mix.stop)
                ws_1LW[:, layers] = lerp(ws_1LW[:, layers], self._mixed_in(mix, request)[:, layers], mix.amount)
            for push in request.pushes:
                layers = slice(push.first, push.stop)
                ws_1LW[:, layers] += self._vector(push.direction)[:, layers] * push.amount
            if request.origin is not None and request.arrived < 1.0:
                ws_1LW = lerp(self.ws(request.origin), ws_1LW, request.arrived)
            return ws_1LW

    def _truncated(self, request: RenderRequest) -> Tensor:
        """[1, L, W]: the request's subject and seed, truncated layer by layer."""
        w_W = self._blended(request, psi=1.0)
        psis = [request.psi if layer < request.cutoff else 1.0 for layer in range(self._info.num_ws)]
        for layer, psi in enumerate(request.layer_psi[: self._info.num_ws]):
            psis[layer] = psis[layer] if psi is None else psi
        if len(set(psis)) > 1:
            centre_W = self._blended(request, psi=0.0)
            return torch.stack([lerp(centre_W, w_W, psi) for psi in psis])[None]
        if psis[0] != 1.0:
            w_W = lerp(self._blended(request, psi=0.0), w_W, psis[0])
        return w_W.expand(1, self._info.num_ws, -1)

    def _mixed_in(self, mix: Mix, request: RenderRequest) -> Tensor:
        """[1, L, W]: the styles that a mix takes from."""
        if mix.latent:
            return self._vector(mix.latent)
        changes: dict[str, Any] = {
            name: value for name in ("prompt", "label", "seed_x", "seed_y") if (value := getattr(mix, name)) is not None
        }
        if mix.prompt is not None or mix.label is not None:
            changes |= {"blend": 0.0, "blend_y": 0.0}
        return self._truncated(replace(request, **changes))

    def _vector(self, name: str) -> Tensor:
        """[1, L, W]: a saved direction or latent."""
        if digest_of(name) not in self._vectors:
            raise EngineError(
                f"{self._info.name} knows no direction or latent {name_of(name)!r}; load or compute it, or take it off"
            )
        return self._vectors[digest_of(name)].expand(1, self._info.num_ws, -1)

    def _blended(self, request: RenderRequest, psi: float) -> Tensor:
        """[W]: w (psi 1) or what truncation moves it to (psi 0), blended over the corners of the seed plane and over
        classes, after mapping.
        """
        corners = [
            (self._mapped(seed, subject, psi), seed_weight * subject_weight)
            for seed, seed_weight in seed_corners(request.seed_x, request.seed_y)
            for subject, subject_weight in self._subjects(request)
        ]
        # Steps from one corner, not a weighted sum: what all corners share, such as a text, stays the same to the bit.
        first_W = corners[0][0]
        total_W = first_W
        for w_W, weight in corners[1:]:
            total_W = total_W + (w_W - first_W) * weight
        return total_W

    def _subjects(self, request: RenderRequest) -> list[tuple[Hashable, float]]:
        """What the generator is asked for beside the seed, with weights: classes, or the text as one."""
        if self._info.conditioning == "none":
            return [(None, 1.0)]
        right, below = request.blend, request.blend_y
        if self._info.conditioning == "text":
            # What does not count is left out of the key.
            prompts = tuple(
                prompt if share > 0.0 else ""
                for prompt, share in zip(
                    (request.prompt, request.prompt_b, request.prompt_c, request.prompt_d),
                    _corner_weights(right, below),
                    strict=True,
                )
            )
            return [((prompts, right, below), 1.0)]
        labels = (request.label, request.label_b, request.label_c, request.label_d)
        pairs = [pair for pair in zip(labels, _corner_weights(right, below), strict=True) if pair[1] > 0.0]
        name, count = self._info.name, self._info.classes
        for label, _ in pairs:
            if label >= count:
                raise EngineError(f"class: {name} has the classes 0 to {count - 1}, got {label}")
        return list(pairs)

    def _condition(self, subject: Hashable) -> Tensor | None:
        """[1, C]: class weights, or the embedding of a text or of the point between several."""
        if subject is None:
            return None
        if isinstance(subject, int):
            c_1C = torch.zeros(1, self._info.classes, device=self._device)
            c_1C[0, subject] = 1.0
            return c_1C
        assert isinstance(subject, tuple)
        assert self._text is not None
        prompts, right, below = subject
        above_C = self._between(prompts[0], prompts[1], right) if below < 1.0 else None
        below_C = self._between(prompts[2], prompts[3], right) if below > 0.0 else None
        if above_C is None or below_C is None:
            only_C = below_C if above_C is None else above_C
            assert only_C is not None
            return self._text.condition(only_C)[None]
        return self._text.condition(blend_embeddings(above_C, below_C, below))[None]

    def _between(self, prompt: str, prompt_b: str, blend: float) -> Tensor:
        """[C]: the embedding of a text (blend 0 and 1) or of the point between two."""
        assert self._text is not None
        if blend in (0.0, 1.0):
            return embed(self._text, prompt if blend == 0.0 else prompt_b)
        return blend_embeddings(embed(self._text, prompt), embed(self._text, prompt_b), blend)

    def _mapped(self, seed: int, subject: Hashable, psi: float) -> Tensor:
        """[W]: a seed's w for a subject (psi 1), or the average that belongs to it (psi 0)."""
        key = (seed, subject, psi)
        w_W = self._latents.get(key)
        if w_W is None:
            z_1Z = seed_to_z(seed, self._info.z_dim)[None].to(self._device)
            w_W = self._latents[key] = self._map(z_1Z, self._condition(subject), psi)[0, 0].clone()
            if len(self._latents) > CACHED_LATENTS:
                self._latents.popitem(last=False)
        else:
            self._latents.move_to_end(key)
        return w_W


def _corner_weights(right: float, below: float) -> tuple[float, float, float, float]:
    """The shares of A, B, C and D at a point of the pad; they sum to 1."""
    return (1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below
