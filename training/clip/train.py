"""Training a CLIP on a folder of captioned pictures: the contrastive loss, its loop, and a state that resumes exactly.

Every random choice of step s comes from a generator seeded by (seed, s), and the order of the pictures from the seed
and the epoch, so a run that was killed and resumed computes what an uninterrupted one would have.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from core.perception import clip_towers as towers
from core.perception.clip import FILE_NAME, ClipError, ClipHeader, save_clip
from core.runlog import RunLog
from training.clip.config import ClipConfig
from training.clip.data import CaptionTable, SeenTokens, augment, keep_patches, slip_in_unknown, to_float
from training.datasets.decoded import FolderDataset
from training.datasets.folder import BatchStream
from training.datasets.opening import load_pictures
from training.engine.interrupt import Interrupt

STATE_NAME = "state.pt"
LOG_NAME = "log.jsonl"

# Radford et al. 2021, section 2.5: the temperature is learned but its inverse kept below 100.
MAX_LOGIT_SCALE = math.log(100.0)
RETRIEVAL_PAIRS = 512
LOG_EVERY = 10
TEXT_PART = 64


def train_clip(
    config: ClipConfig, data: Path, out: Path, *, resume: bool = False, device: str = "auto", progress: bool = True
) -> Path:
    """Train on the captioned pictures below `data` into the run folder `out`; returns the path of its
    `clip.safetensors`.

    With `resume`, goes on from the state saved in `out`, to the same result as if never stopped. Ctrl-C and SIGTERM
    save, say how to go on, and exit. Raises `ClipError` for a folder that already holds a run (or none, to resume),
    and `DataError` for unusable data.
    """
    state_path = out / STATE_NAME
    if resume and not state_path.is_file():
        raise ClipError(
            f"{state_path}: no such file, so there is no run to resume in {out}; leave --resume away to start one"
        )
    if not resume and (state_path.exists() or (out / FILE_NAME).exists()):
        raise ClipError(f"{out} already holds a CLIP run; go on with it by --resume, or choose another folder")
    dataset = load_pictures(data, config.image_size, progress=progress)
    run = ClipRun(config, dataset, pick_device(device))
    if resume:
        run.load_state_dict(_read_state(state_path))
    out.mkdir(parents=True, exist_ok=True)
    with RunLog(out / LOG_NAME) as log, Interrupt() as interrupt:
        log.write(
            "resume" if resume else "start",
            step=run.step,
            config=asdict(config),
            data={
                "folder": str(data),
                "pictures": len(dataset),
                "held_out": len(run.held_out),
                "fingerprint": dataset.fingerprint,
            },
            device=str(run.device),
            threads=torch.get_num_threads(),
        )
        if progress and dataset.skipped():
            print(dataset.skipped())
        _loop(run, out, log, interrupt, progress)
    return out / FILE_NAME


def pick_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is some, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _loop(run: ClipRun, out: Path, log: RunLog, interrupt: Interrupt, progress: bool) -> None:
    config = run.config
    started, first = time.monotonic(), run.step
    saved = started
    bar = tqdm(
        total=config.steps * config.batch,
        initial=run.step * config.batch,
        desc="CLIP",
        unit="img",
        unit_scale=True,
        disable=not progress,
        dynamic_ncols=True,
    )
    with bar:
        while run.step < config.steps:
            loss = run.train_step()
            bar.update(config.batch)
            done = run.step == config.steps
            if run.step % LOG_EVERY == 0 or done:
                value = float(loss)
                if not math.isfinite(value):
                    raise ClipError(
                        f"the loss is {value} at step {run.step}; "
                        f"start again with a lower learning rate than {config.learning_rate}"
                    )
                rate = (run.step - first) * config.batch / (time.monotonic() - started)
                log.write(
                    "step",
                    step=run.step,
                    images=run.step * config.batch,
                    loss=round(value, 5),
                    learning_rate=run.learning_rate(),
                    logit_scale=round(float(run.clip.logit_scale.detach().exp()), 3),
                    images_per_s=round(rate, 1),
                )
                bar.set_postfix_str(f"loss {value:.3f}")
            if run.step % config.evaluate_every == 0 or done:
                run.figures = run.retrieval()
                log.write("retrieval", step=run.step, images=run.step * config.batch, **run.figures)
                if progress:
                    bar.write(f"step {run.step}: {describe(run.figures)}")
            if done or interrupt.requested or time.monotonic() - saved >= config.save_every_s:
                run.save(out)
                saved = time.monotonic()
                log.write("save", step=run.step)
            if interrupt.requested and not done:
                bar.close()
                print(
                    f"Stopped at step {run.step} of {config.steps}, saved in {out}. "
                    "Go on with the same command and --resume."
                )
                raise SystemExit(130)


def describe(figures: dict[str, float]) -> str:
    """The figures in a line."""
    return (
        f"retrieval@1 among {figures['pairs']:.0f} held-out pairs: "
        f"picture to caption {figures['picture_to_caption']:.1%}, "
        f"caption to picture {figures['caption_to_picture']:.1%}"
    )


class ClipRun:
    """Everything that a run carries from step to step."""

    def __init__(self, config: ClipConfig, dataset: FolderDataset, device: torch.device) -> None:
        held_out = max(1, round(config.held_out * len(dataset)))
        rows = np.arange(len(dataset))
        self.rows, self.held_out = rows[:-held_out], rows[-held_out:]
        if len(self.rows) < 2:
            raise ClipError(f"expected at least 3 usable captioned pictures, got {len(dataset)}")
        self.config, self.dataset, self.device = config, dataset, device
        self.step = 0
        self.figures: dict[str, float] = {}
        self.captions = CaptionTable(dataset.captions, config.context_length)
        self.seen = SeenTokens(self.captions.used(self.rows))
        self.stream = BatchStream(len(self.rows), min(config.batch, len(self.rows)), config.seed)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.clip = towers.build_clip(config.embed_dim, config.vision_cfg(), config.text_cfg())
            self.words = nn.Parameter(torch.randn(len(self.seen), config.text_width) * 0.02)
        with torch.no_grad():
            self.words[0] = 0
            self.clip.text.token_embedding.weight.zero_()
        self.clip.text.token_embedding.weight.requires_grad_(False)
        self.clip.to(device)
        self.words.data = self.words.data.to(device)
        self.optimizer = _optimizer(self.clip, self.words, config)

    def train_step(self) -> Tensor:
        """One step of the optimiser on the next batch; returns the loss (a scalar that still lives on the device)."""
        config = self.config
        pictures = self.rows[self.stream.next()]
        rng = np.random.default_rng([config.seed, 1, self.step])
        tokens = slip_in_unknown(self.captions.draw(pictures, rng), config.unknown_words, self.seen.unknown, rng)
        x = augment(self.dataset.images[pictures], config, rng)
        whole = self.step >= config.whole_from * config.steps
        keep = keep_patches(len(x), config.patches, 0.0 if whole else config.patch_dropout, rng)

        images = self._encode_images(x, keep)
        texts = self._encode_tokens(tokens)
        loss = contrastive_loss(images, texts, self.clip.logit_scale)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        self.step += 1
        return loss.detach()

    def learning_rate(self) -> float:
        """At the present step: a linear warm-up, then half a cosine down to 0."""
        config = self.config
        if self.step < config.warmup:
            return config.learning_rate * (self.step + 1) / config.warmup
        share = (self.step - config.warmup) / max(1, config.steps - config.warmup)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    @torch.no_grad()
    def retrieval(self) -> dict[str, float]:
        """How often the nearest of up to 512 held-out captions is the picture's own, and the other way round."""
        pictures = self.held_out[:RETRIEVAL_PAIRS]
        tokens = self.captions.draw(pictures, np.random.default_rng([self.config.seed, 2]))
        images, texts = [], []
        for start in range(0, len(pictures), 128):
            part = slice(start, start + 128)
            images.append(self._encode_images(to_float(self.dataset.images[pictures[part]]), None))
            texts.append(self._encode_tokens(tokens[part]))
        similarity = torch.cat(images) @ torch.cat(texts).T
        own = torch.arange(len(pictures), device=similarity.device)
        return {
            "pairs": float(len(pictures)),
            "picture_to_caption": (similarity.argmax(dim=1) == own).float().mean().item(),
            "caption_to_picture": (similarity.argmax(dim=0) == own).float().mean().item(),
        }

    def _encode_images(self, x_N3RR: Tensor, keep: Tensor | None) -> Tensor:
        visual = self.clip.visual
        x = towers.embed_patches(visual, x_N3RR.to(self.device), None if keep is None else keep.to(self.device))
        return towers.image_embedding(visual, towers.run_blocks(visual.transformer.resblocks, x)[0])

    def _encode_tokens(self, tokens_NL: NDArray[np.int64]) -> Tensor:
        # Most captions are half as long as the longest: in parts of like length, each is cut to its own longest.
        by_length = np.argsort(tokens_NL.argmax(axis=1), kind="stable")
        parts = []
        for rows in np.array_split(by_length, max(1, len(by_length) // TEXT_PART)):
            tokens = tokens_NL[rows]
            # padding_idx keeps the row of the unknown words at zero.
            words = F.embedding(self.seen.rows(tokens).to(self.device), self.words, padding_idx=0)
            parts.append(towers.encode_tokens(self.clip.text, torch.from_numpy(tokens).to(self.device), words))
        return torch.cat(parts)[torch.from_numpy(np.argsort(by_length)).to(self.device)]

    def save(self, out: Path) -> None:
        """Write `clip.safetensors` and the state to resume from, each whole or not at all."""
        with torch.no_grad():
            rows = torch.from_numpy(self.seen.used).to(self.device)
            self.clip.text.token_embedding.weight[rows] = self.words[1:]
        config = self.config
        header = ClipHeader(
            embed_dim=config.embed_dim,
            vision_cfg=config.vision_cfg(),
            text_cfg=config.text_cfg(),
            images_seen=self.step * self.stream.batch,
            figures=self.figures,
            notes={
                "config": asdict(config),
                "step": self.step,
                "pictures": len(self.dataset),
                "tokens_seen": len(self.seen.used),
            },
        )
        save_clip(out / FILE_NAME, self.clip, header)
        path = out / STATE_NAME
        temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with open(temporary, "wb") as file:
                torch.save(self.state_dict(), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the run goes on."""
        model = {
            name: tensor for name, tensor in self.clip.state_dict().items() if name != "text.token_embedding.weight"
        }
        return {
            "config": asdict(self.config),
            "fingerprint": self.dataset.fingerprint,
            "step": self.step,
            "figures": self.figures,
            "model": model,
            "words": self.words.detach(),
            "optimizer": self.optimizer.state_dict(),
            "stream": self.stream.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises `ClipError` when the configuration or the data are not those of the saved run."""
        now = asdict(self.config)
        changed = [name for name in now if name != "save_every_s" and state["config"].get(name) != now[name]]
        if changed:
            was = ", ".join(f"{name} {state['config'].get(name)}" for name in changed)
            raise ClipError(
                f"the saved run has {was}; now asked for {', '.join(f'{name} {now[name]}' for name in changed)}"
            )
        if state["fingerprint"] != self.dataset.fingerprint:
            raise ClipError(
                "the pictures or captions have changed since the run was saved; start a new run in another folder"
            )
        self.step = state["step"]
        self.figures = state["figures"]
        self.clip.load_state_dict(state["model"], strict=False)
        with torch.no_grad():
            self.words.copy_(state["words"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stream.load_state_dict(state["stream"])


def contrastive_loss(images_ND: Tensor, texts_ND: Tensor, logit_scale: Tensor) -> Tensor:
    """Cross entropy of finding each picture's caption in the batch, and each caption's picture, averaged (Radford et
    al., fig. 3)."""
    logits = logit_scale.exp() * images_ND @ texts_ND.T
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _optimizer(clip: nn.Module, words: nn.Parameter, config: ClipConfig) -> torch.optim.AdamW:
    decayed: list[nn.Parameter] = []
    plain = [words]
    for name, parameter in clip.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim >= 2 and "positional_embedding" not in name
            (decayed if matrix else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise ClipError(f"{path}: expected the saved state of a CLIP run, but it cannot be read ({error})") from error
    return state
