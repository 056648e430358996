"""Text towers by name from the models that open_clip knows: their published weights are looked for in a place the user
names, then in the Hugging Face cache, then on the network.
"""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from core.text.encoder import WEIGHTS_VARIABLE, TextEncoder, TextEncoderError


def published_encoder(model: object, tag: object, device: torch.device | str) -> TextEncoder:
    """The text tower of a model and a tag of weights from open_clip's own lists."""
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
    tokenizer = open_clip.get_tokenizer(model)
    return TextEncoder(clip.text, tokenizer, dim=int(config["embed_dim"]), device=device, knows_english=True)


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
