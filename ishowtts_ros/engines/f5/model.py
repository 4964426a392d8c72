"""The F5-TTS diffusion transformer (DiT), laid out for inference."""

from __future__ import annotations

from torch import nn


class DiT(nn.Module):
    """Predicts the flow (velocity) of a mel at one time step."""
