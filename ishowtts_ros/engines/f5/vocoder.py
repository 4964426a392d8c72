"""Mel -> waveform with Vocos (arXiv:2306.00814)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...core.types import ErrorCode, SpeechError
from .acceleration import Compiler, Counters, exactness, resolve_dtype
from .config import FRAME_RATE, HOP_LENGTH, MEL_CHANNELS, SAMPLE_RATE, F5Config
from .vocos_network import Misfit, Vocos, VocosShape


class Vocoder:
    """A loaded Vocos. The network runs in its dtype, compiled if asked for; the inverse STFT always in fp32."""

    def __init__(self, vocos: Vocos, device: torch.device, dtype: torch.dtype, compile_mode: str):
        self._head = vocos.head.istft.to(device).float()
        self._backbone = vocos.backbone.to(device, dtype).eval().requires_grad_(False)
        self._out = vocos.head.out.to(device, dtype).requires_grad_(False)
        self._device, self._dtype = device, dtype
        self._exactness = exactness(device, dtype)
        self._counters = Counters()
        self._spectrum = Compiler(compile_mode, True, self._counters)(self._spectrum_of, 2)

    @classmethod
    def load(cls, folder: Path, device: torch.device, config: F5Config) -> Vocoder:
        """Read config.yaml and pytorch_model.bin (weights only) from `folder`.

        :raises SpeechError: LOAD_FAILED, naming the file and the first tensor that does not fit
        """
        path = folder / 'pytorch_model.bin'
        try:
            shape = VocosShape.from_file(folder / 'config.yaml')
            state = torch.load(path, map_location='cpu', weights_only=True)
        except Misfit as error:
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f"vocoder '{folder}' is not for {MEL_CHANNELS} mels at {SAMPLE_RATE} Hz and hop {HOP_LENGTH}: "
                              f'{error}; F5-TTS needs charactr/vocos-mel-24khz') from error
        except Exception as error:      # yaml, pickle, zip: each has its own exception for a bad file
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f"cannot read the vocoder in '{folder}' ({type(error).__name__}: {error}); set "
                              'f5.vocoder to a copy of charactr/vocos-mel-24khz') from error
        vocos = Vocos(shape)
        state = {name: tensor for name, tensor in state.items() if not name.startswith('feature_extractor.')}
        check(vocos, state, path)
        vocos.load_state_dict(state, assign=True)
        name = config.dtype if config.vocoder_dtype == 'auto' else config.vocoder_dtype
        return cls(vocos, device, resolve_dtype(name, device), config.compile)

    @torch.no_grad()
    def decode(self, mel: Tensor) -> Tensor:
        """mel [b, n, 100] fp32 log mel -> waveform [b, (n - 1) * 256] fp32 at 24 kHz, on the vocoder's device.

        The inverse STFT is centred: n frames stand for n - 1 hops, as in Vocos.decode.

        :raises SpeechError: NON_FINITE_AUDIO
        """
        features = mel.to(self._device, self._dtype).transpose(1, 2)
        with self._exactness():
            wave = self._head(torch.view_as_complex(self._spectrum(features)).transpose(1, 2))
        if not torch.isfinite(wave).all():
            raise SpeechError(ErrorCode.NON_FINITE_AUDIO,
                              'the vocoder produced NaN or infinite samples; set f5.vocoder_dtype to float32, and '
                              'check that its weights are intact')
        return wave

    def _spectrum_of(self, features: Tensor) -> Tensor:
        """features [b, 100, n] -> STFT [b, n, 513, 2] fp32, real and imaginary part (Vocos ISTFTHead)."""
        magnitude, phase = self._out(self._backbone(features)).float().chunk(2, dim=-1)
        magnitude = magnitude.exp().clip(max=1e2)
        return torch.stack((magnitude * phase.cos(), magnitude * phase.sin()), dim=-1)

    def warmup(self) -> None:
        """Decode silence, short and long, so that compilation and kernel choice are done.

        torch chooses another convolution from 20,480 input values on (204 frames), which is another compilation.
        """
        for seconds in (1.0, 4.0):
            self.decode(torch.zeros(1, int(seconds * FRAME_RATE), MEL_CHANNELS))

    @property
    def counters(self) -> dict[str, int]:
        """compiled_frames and compiled_calls since loading."""
        return self._counters.as_dict()

    def close(self) -> None:
        """Release the weights."""
        self._backbone = self._out = self._head = self._spectrum = None


def check(vocos: Vocos, state: dict[str, Tensor], path: Path) -> None:
    """Compare a state dict with the network that config.yaml describes.

    :raises SpeechError: LOAD_FAILED, naming the first tensor that does not fit and both shapes
    """
    expected = {name: tuple(tensor.shape) for name, tensor in vocos.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            raise SpeechError(ErrorCode.LOAD_FAILED,
                              f"vocoder '{path}' does not fit its config.yaml: tensor '{name}' is "
                              f"{found.get(name, 'missing')}, expected {expected.get(name, 'none')}; take both files "
                              'from the same Vocos, charactr/vocos-mel-24khz')
