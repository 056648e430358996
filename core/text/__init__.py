"""A prompt becomes an embedding, with a cache: by a CLIP text tower that the checkpoint holds (kind "bundled"), by a
sentence encoder that lies beside it (kind "minilm"), or by a CLIP published for open_clip (kind "open_clip").
"""

from core.text.clip import bundled_text_tower
from core.text.encoder import EncoderFileError, Standardisation, TextEncoder, TextEncoderError
from core.text.loading import load_text_encoder
from core.text.published import find_weights

__all__ = [
    "EncoderFileError",
    "Standardisation",
    "TextEncoder",
    "TextEncoderError",
    "bundled_text_tower",
    "find_weights",
    "load_text_encoder",
]
