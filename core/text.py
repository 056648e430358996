"""A prompt becomes an embedding: open_clip text encoders, with a cache.

The text tower comes from the checkpoint itself (kind "bundled"), or by name from the models that open_clip knows (kind
"open_clip"), whose published weights are looked for in a place the user names, then in the Hugging Face cache, then on
the network.
"""

from __future__ import annotations

import math
import os
import socket
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A file of weights, or a folder of such files named MODEL.TAG.safetensors: for machines without a network.
WEIGHTS_VARIABLE = "GLISSANDO_TEXT_WEIGHTS"
CACHED_PROMPTS = 256

Tokenizer = Callable[[list[str]], Tensor]
"""Prompts -> token ids [N, context length]; long prompts are cut so that the end token is kept."""


class TextEncoderError(ValueError):
    """The text encoder cannot be built; the message says what is missing and where to put it."""


class TextEncoder:
    """Prompts to unit vectors.

    Every prompt goes through the tower alone, so that its embedding does not depend (not even in the last bit) on which
    prompts it came with. The last `CACHED_PROMPTS` embeddings are kept.
    """

    def __init__(self, tower: nn.Module, tokenizer: Tokenizer, *, dim: int, device: torch.device | str = "cpu") -> None:
        self.dim = dim
        self.device = torch.device(device)
        self._tower = tower.to(self.device, torch.float32).eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._cache: OrderedDict[str, Tensor] = OrderedDict()

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[N, dim] float32 on the encoder's device, rows of length one.

        Any text is a prompt: empty, of any script, of any length; what is beyond the tower's context (77 tokens in
        CLIP) is left out.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts: expected a sequence of strings, got one string")
        if not prompts:
            return torch.zeros(0, self.dim, device=self.device)
        return torch.stack([self._encode_one(prompt) for prompt in prompts])

    def _encode_one(self, prompt: str) -> Tensor:
        cached = self._cache.get(prompt)
        if cached is not None:
            self._cache.move_to_end(prompt)
            return cached
        # Half an emoji (a lone surrogate, as some input methods deliver) cannot be encoded; it becomes a question mark.
        text = prompt.encode("utf-8", errors="replace").decode("utf-8")
        with torch.inference_mode():
            features_1T = self._tower(self._tokenizer([text]).to(self.device))
            embedding = F.normalize(features_1T.float(), dim=-1)[0]
        if embedding.shape != (self.dim,):
            raise TextEncoderError(
                f"text encoder: expected embeddings of {self.dim} numbers, got {tuple(embedding.shape)}"
            )
        self._cache[prompt] = embedding
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return embedding


def load_text_encoder(
    spec: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> TextEncoder:
    """The encoder that a checkpoint's header asks for.

    `spec` is {"kind": "bundled", "embed_dim": int, "text_cfg": {...}, "quick_gelu": bool (optional)} with the tower's
    state dict in `tensors`, or {"kind": "open_clip", "model": str, "pretrained": str}. Raises `TextEncoderError`.
    """
    kind = spec.get("kind")
    if kind == "bundled":
        _exact_keys("text", spec, {"kind", "embed_dim", "text_cfg"}, {"quick_gelu"})
        return _bundled_encoder(spec, tensors, device)
    if kind == "open_clip":
        _exact_keys("text", spec, {"kind", "model", "pretrained"}, set())
        return _open_clip_encoder(spec["model"], spec["pretrained"], device)
    raise TextEncoderError(f"text kind: expected bundled or open_clip, got {kind!r}")


# --- the tower inside a checkpoint --------------------------------------------------------------------------

# What a checkpoint may say about its tower: (type, lowest, highest). Names that would make open_clip fetch something
# are not among them.
_TEXT_CFG: dict[str, tuple[type, float, float]] = {
    "context_length": (int, 1, 512),
    "vocab_size": (int, 49408, 49408),
    "width": (int, 1, 8192),
    "heads": (int, 1, 256),
    "layers": (int, 1, 96),
    "mlp_ratio": (float, 0.1, 16),
    "ls_init_value": (float, 0, 1),
    "embed_cls": (bool, 0, 1),
    "pad_id": (int, 0, 49407),
    "eos_id": (int, 0, 49407),
    "no_causal_mask": (bool, 0, 1),
    "proj_bias": (bool, 0, 1),
}
_POOL_TYPES = ("argmax", "first", "last", "eos")


def bundled_text_tower(embed_dim: int, text_cfg: Mapping[str, Any], *, quick_gelu: bool = False) -> nn.Module:
    """A freshly initialised open_clip text tower: the `.text` of a `CustomTextCLIP` with the same config, so their
    state dicts agree.

    Takes token ids [N, context length] to [N, embed_dim], not normalised. Raises `TextEncoderError` for a config it
    does not accept.
    """
    _check_text_cfg(embed_dim, text_cfg)
    from open_clip.transformer import QuickGELU, TextTransformer

    values = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, **text_cfg}
    tower: nn.Module = TextTransformer(output_dim=embed_dim, act_layer=QuickGELU if quick_gelu else nn.GELU, **values)
    return tower


def _check_text_cfg(embed_dim: object, text_cfg: object) -> None:
    if type(embed_dim) is not int or not 1 <= embed_dim <= 8192:
        raise TextEncoderError(f"text embed_dim: expected an integer from 1 to 8192, got {embed_dim!r}")
    if not isinstance(text_cfg, Mapping):
        raise TextEncoderError(f"text_cfg: expected an object, got {type(text_cfg).__name__}")
    for name, value in text_cfg.items():
        if name == "pool_type":
            if value not in _POOL_TYPES:
                raise TextEncoderError(f"text_cfg pool_type: expected one of {', '.join(_POOL_TYPES)}, got {value!r}")
            continue
        if name not in _TEXT_CFG:
            raise TextEncoderError(
                f"text_cfg {name}: not a setting this version knows; known: {', '.join((*_TEXT_CFG, 'pool_type'))}"
            )
        kind, low, high = _TEXT_CFG[name]
        if name == "ls_init_value" and value is None:
            continue
        right = type(value) is kind or (kind is float and type(value) is int)
        if not right or not math.isfinite(value) or not low <= value <= high:
            raise TextEncoderError(f"text_cfg {name}: expected {kind.__name__} from {low:g} to {high:g}, got {value!r}")
    width, heads = text_cfg.get("width", 512), text_cfg.get("heads", 8)
    if width % heads:
        raise TextEncoderError(f"text_cfg heads: expected a divisor of the width {width}, got {heads}")


def _bundled_encoder(spec: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device | str) -> TextEncoder:
    embed_dim, text_cfg, quick_gelu = spec["embed_dim"], spec["text_cfg"], spec.get("quick_gelu", False)
    if type(quick_gelu) is not bool:
        raise TextEncoderError(f"text quick_gelu: expected true or false, got {quick_gelu!r}")
    # First without memory, so that a config cannot ask for more than the tensors that came with it.
    with torch.device("meta"):
        expected = bundled_text_tower(embed_dim, text_cfg, quick_gelu=quick_gelu).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        fault = "is missing" if name in expected else "is not part of a tower with this config"
        raise TextEncoderError(f"text tower: tensor text.{name} {fault}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape or not tensors[name].is_floating_point():
            raise TextEncoderError(
                f"text tower: tensor text.{name}: expected shape {list(tensor.shape)}, "
                f"got {list(tensors[name].shape)} of {tensors[name].dtype}"
            )
    tower = bundled_text_tower(embed_dim, text_cfg, quick_gelu=quick_gelu)
    tower.load_state_dict(dict(tensors))
    return TextEncoder(tower, _simple_tokenizer(text_cfg.get("context_length", 77)), dim=embed_dim, device=device)


def _simple_tokenizer(context_length: int) -> Tokenizer:
    """CLIP's byte-pair tokenizer; its vocabulary is part of the open_clip package."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer: Tokenizer = SimpleTokenizer(context_length=context_length)
    return tokenizer


# --- towers published for open_clip -------------------------------------------------------------------------


def _open_clip_encoder(model: object, tag: object, device: torch.device | str) -> TextEncoder:
    import open_clip

    # Only names from open_clip's own lists: anything else it would take for a path or a repository of the file's
    # choosing.
    known = open_clip.list_models()
    if not isinstance(model, str) or model not in known:
        raise TextEncoderError(
            f"text model: expected a name from open_clip.list_models(), such as ViT-L-14-quickgelu, got {model!r}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not isinstance(tag, str) or tag not in tags:
        raise TextEncoderError(
            f"text pretrained: expected one of {', '.join(tags) or '(none published)'} for {model}, got {tag!r}"
        )
    config = open_clip.get_model_config(model)
    source = open_clip.get_pretrained_cfg(model, tag)
    text_cfg = config["text_cfg"]
    if text_cfg.get("hf_model_name") or text_cfg.get("hf_tokenizer_name") or "multimodal_cfg" in config:
        raise TextEncoderError(f"text model {model}: its text tower is not one of CLIP's own; these are not supported")
    quick = bool(source.get("quick_gelu", False))
    if quick != bool(config.get("quick_gelu", False)):
        raise TextEncoderError(
            f"text model {model}/{tag}: these weights were trained with the other activation; "
            f"{'take the name that ends in -quickgelu' if quick else 'take the name without -quickgelu'}"
        )
    weights = find_weights(model, tag, source)
    try:
        # As a CustomTextCLIP, whatever the weights were saved as, because its text tower is one module that can be kept
        # alone.
        clip = open_clip.create_model(model, pretrained=str(weights), force_custom_text=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise TextEncoderError(f"{weights}: not the weights of {model}/{tag} ({str(error).splitlines()[0]})") from error
    return TextEncoder(clip.text, open_clip.get_tokenizer(model), dim=int(config["embed_dim"]), device=device)


def find_weights(model: str, tag: str, source: Mapping[str, Any]) -> Path:
    """The file of a published CLIP: from `GLISSANDO_TEXT_WEIGHTS`, else the Hugging Face cache, else the network.

    `source` is open_clip's record of where the weights are. Raises `TextEncoderError` that names the file and where to
    put it.
    """
    local_name = f"{model}.{tag}.safetensors"
    place = os.environ.get(WEIGHTS_VARIABLE)
    if place:
        path = Path(place)
        path = path / local_name if path.is_dir() else path
        if path.is_file():
            return path
        raise TextEncoderError(
            f"{WEIGHTS_VARIABLE}: expected a file of weights, or a folder that holds {local_name}; "
            f"there is no file {path}"
        )
    repository, _, filename = str(source.get("hf_hub", "")).rpartition("/")
    filename = filename or "open_clip_pytorch_model.bin"
    # Most repositories hold the same weights as safetensors too, which cannot run code.
    stem = "open_clip_model" if filename == "open_clip_pytorch_model.bin" else filename.rpartition(".")[0]
    names = list(dict.fromkeys([f"{stem}.safetensors", filename]))
    reason = "open_clip lists no Hugging Face repository for it"
    if repository:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError

        for name in names:
            cached = try_to_load_from_cache(repository, name)
            if isinstance(cached, str):
                return Path(cached)
        reason = _unreachable()
        for name in names if not reason else ():
            try:
                return Path(hf_hub_download(repository, name))
            except EntryNotFoundError as error:
                reason = str(error).splitlines()[0]
            except (OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                break
    wanted = (
        f"file {names[0]} of the Hugging Face repository {repository}" if repository else f"weights {tag} of {model}"
    )
    raise TextEncoderError(
        f"The text encoder {model}/{tag} needs the {wanted}, which could not be had: {reason}. "
        f"On a machine with a network, download it, then put it at any path and set {WEIGHTS_VARIABLE} to that path "
        f"(or to a folder that holds it as {local_name}); or copy that machine's Hugging Face cache folder here."
    )


def _unreachable() -> str:
    """Why the hub cannot be reached, or "". The client itself retries for the better part of a minute before it says
    so.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if urllib.request.getproxies():
        return ""  # names may only resolve behind the proxy
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError as error:
        return f"no network ({error})"
    return ""


def _exact_keys(what: str, values: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    missing, spare = sorted(required - values.keys()), sorted(values.keys() - required - optional)
    if missing or spare:
        raise TextEncoderError(
            f"{what}: expected the fields {', '.join(sorted(required))}; missing: {missing}, unknown: {spare}"
        )
