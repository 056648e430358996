"""A small CLIP trained from scratch: text encoder, guidance and feature network in one (Radford et al. 2021, arXiv
2103.00020)."""

from core.perception.clip import ClipError, ClipModel, load_clip
from training.clip.config import ClipConfig, clip_recipe
from training.clip.train import train_clip

__all__ = ["ClipConfig", "ClipError", "ClipModel", "clip_recipe", "load_clip", "train_clip"]
