"""The f5 engine: text, voice and settings in, samples out.

It cuts text, decides durations, draws noise and joins waves. It knows nothing about how a mel is sampled
(sampler.py), how a checkpoint is laid out (weights.py) or what a voice's audio file looks like (prompt.py).
"""

from __future__ import annotations

import logging
from typing import Sequence

import numpy as np
import torch

from ...core.engine import Canceled as IsCanceled, Emit, Progress
from ...core.types import ErrorCode, SpeechError, SynthesisSettings
from ...core.voices import Voice, VoiceRegistry
from .acceleration import resolve_device, resolve_dtype
from .chunking import SHORT_TEXT, chunk_text, growing_chunks, split_oversized
from .config import MEL_CHANNELS, SAMPLE_RATE, F5Config, architecture
from .crossfade import CrossFader, to_pcm
from .failures import as_speech_error, finite, release_memory
from .model import DiT
from .prompt import Prompt, PromptCache
from .sampler import Canceled, SampleRequest, Sampler
from .tokenizer import Tokenizer
from .vocoder import Vocoder
from .voices import ClonedVoices
from .weights import locate_checkpoint, locate_vocab, locate_vocoder

LONGEST_CHUNK = 43.0        # s with the reference: f5-tts has no text positions beyond 4,096 frames

logger = logging.getLogger(__name__)


class F5Engine:
    """F5-TTS zero-shot voice cloning (arXiv:2410.06885), in this package's own inference code.

    With `streaming` off, all that it emits for a text is what f5-tts's infer_process returns with the same
    weights and noise; each chunk is emitted as soon as it is vocoded all the same. With `streaming` on, the text
    is cut elsewhere: the first chunk is short, so that it is heard sooner.
    """

    name = 'f5'
    sample_rate = SAMPLE_RATE
    has_solver = True

    def __init__(self, config: F5Config, voices: VoiceRegistry):
        self._config = config
        self._voices = ClonedVoices(voices)
        self._prompts = PromptCache(config.prompt_cache)
        self._tokenizer: Tokenizer | None = None
        self._sampler: Sampler | None = None
        self._vocoder: Vocoder | None = None
        self._device = torch.device('cpu')

    # Life

    def load(self, progress: Progress) -> None:
        """Read the weights and prepare the voices.

        :raises SpeechError: LOAD_FAILED for files that are missing, broken or do not belong together;
            INVALID_PARAMETER, ENGINE_UNAVAILABLE for a device or architecture that is not there
        """
        failure = None
        try:
            self._load(progress)
        except Exception as error:
            failure = as_speech_error(error, ErrorCode.LOAD_FAILED)
        if failure:
            self.close()
            raise failure

    def _load(self, progress: Progress) -> None:
        config = self._config
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = resolve_device(config)
        arch = architecture(config.model)
        checkpoint = locate_checkpoint(config, progress)
        progress(0.1, 'reading the vocabulary')
        self._tokenizer = Tokenizer.from_file(locate_vocab(config, checkpoint, progress))
        self._tokenizer.encode('Hello, 你好')       # imports the dictionaries
        progress(0.2, f'reading {checkpoint}')
        model = DiT.load(checkpoint, arch, len(self._tokenizer), self._device,
                         resolve_dtype(config.dtype, self._device))
        if config.dtype == 'int8':
            progress(0.7, 'rounding weights to 8 bits')
            model.quantize()
        self._sampler = Sampler(model, config)
        progress(0.8, 'reading the vocoder')
        self._vocoder = Vocoder.load(locate_vocoder(config, progress), self._device, config)
        progress(0.9, 'preparing voices')
        self._prepare_voices()
        progress(1.0, 'loaded')

    def _prepare_voices(self) -> None:
        """Make all prompts now. One bad recording must not silence the other voices, so it is only pointed out."""
        for voice in list(self._voices)[:self._config.prompt_cache]:
            try:
                self._prompts.get(voice)
            except SpeechError as error:
                logger.warning('%s', error)

    def warmup(self, progress: Progress) -> None:
        """Compile and capture for every configured bucket, then speak once."""
        self._loaded_sampler().warmup(lambda done, what: progress(0.9 * done, what))
        self._vocoder.warmup()
        try:
            self.synthesize('Hello there.', SynthesisSettings(nfe_step=2), lambda samples: None, lambda: False)
        except SpeechError as error:
            if error.code not in (ErrorCode.UNKNOWN_VOICE, ErrorCode.INVALID_REFERENCE):
                raise
            logger.warning('not warmed up with a voice: %s', error)     # one may be added later
        progress(1.0, 'warmed up')

    def close(self) -> None:
        for part in (self._sampler, self._vocoder):
            if part is not None:
                part.close()
        self._sampler = self._vocoder = self._tokenizer = None
        self._prompts = PromptCache(self._config.prompt_cache)
        release_memory()

    # Voices

    def voices(self) -> Sequence[str]:
        return self._voices.names()

    @property
    def default_voice(self) -> str:
        return self._voices.default

    def check_voice(self, name: str) -> None:
        self._voices.get(name)

    # Speech

    @property
    def device(self) -> torch.device:
        """Where it computes, once loaded."""
        return self._device

    @property
    def dtype(self) -> str:
        """Of the model's weights, as in F5Config.dtype."""
        model = self._loaded_sampler().model
        return 'int8' if model.quantized else str(model.dtype).removeprefix('torch.')

    @property
    def counters(self) -> dict[str, int]:
        """What acceleration really ran; see Sampler.counters."""
        return self._loaded_sampler().counters

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: IsCanceled) -> None:
        """See Engine.

        :raises SpeechError: UNKNOWN_VOICE, INVALID_REFERENCE, NON_FINITE_AUDIO, OUT_OF_MEMORY, ENGINE_FAILED
        """
        voice = self._voices.get(settings.voice)
        failure = None
        try:
            self._speak(text, voice, settings, emit, canceled)
        except Canceled:
            return
        except Exception as error:
            failure = as_speech_error(error)
        if failure:             # outside the handler, so that the failed call's tensors are free already
            if failure.code == ErrorCode.OUT_OF_MEMORY:
                self._loaded_sampler().release()
            release_memory()
            raise failure

    def _speak(self, text: str, voice: Voice, settings: SynthesisSettings, emit: Emit, canceled: IsCanceled) -> None:
        prompt = self._prompts.get(voice)
        chunks = self._chunks(text, prompt, settings.speed)
        noise = self._noise_generator(settings.seed)
        fader = CrossFader(int(self._config.cross_fade * SAMPLE_RATE))
        remaining = len(chunks)
        for batch in batches(chunks, self._config.max_batch):
            requests = [self._request(chunk, prompt, settings.speed, noise) for chunk in batch]
            mels = self._loaded_sampler().sample(
                requests, nfe_step=settings.nfe_step, cfg_strength=settings.cfg_strength,
                sway_sampling_coef=settings.sway_sampling_coef, canceled=canceled)
            for mel in mels:
                wave = self._vocode(mel, prompt)
                remaining -= 1
                settled = fader.push(wave, last=not remaining)
                if canceled():
                    return
                if len(settled):
                    emit(to_pcm(settled))

    def _chunks(self, text: str, prompt: Prompt, speed: float) -> list[str]:
        limit = prompt.max_chunk_bytes(speed)
        if self._config.streaming:
            chunks = growing_chunks(text, limit, self._config.first_chunk)
        else:
            chunks = chunk_text(text, limit)
        longest = max(SHORT_TEXT, prompt.max_chunk_bytes(speed, LONGEST_CHUNK))
        return [chunk for chunk in split_oversized(chunks, longest) if chunk]

    def _request(self, chunk: str, prompt: Prompt, speed: float, noise: torch.Generator) -> SampleRequest:
        request = SampleRequest(prompt.mel, self._tokenizer.encode(prompt.lead + chunk), prompt.duration(chunk, speed))
        request.noise = torch.randn(request.total_frames, MEL_CHANNELS, generator=noise, device=self._device)
        return request

    def _noise_generator(self, seed: int) -> torch.Generator:
        """One source of noise for an utterance: its chunks draw one after the other, as in f5-tts."""
        generator = torch.Generator(self._device)
        generator.manual_seed(seed) if seed >= 0 else generator.seed()
        return generator

    def _vocode(self, mel: torch.Tensor, prompt: Prompt) -> np.ndarray:
        """:param mel: float32 [n, 100]; :return: float32 [n * 256], as loud as the voice's recording"""
        # f5-tts gives the vocoder the prompt's last frame too: its mel has one more than the recording lasts
        lead_in = prompt.mel[prompt.frames:].to(mel.device)
        wave = self._vocoder.decode(torch.cat([lead_in, mel])[None])[0] * prompt.loudness
        return finite(wave.float().cpu().numpy())

    def _loaded_sampler(self) -> Sampler:
        if self._sampler is None:
            raise RuntimeError('the engine is not loaded')
        return self._sampler


def batches(chunks: list[str], size: int) -> list[list[str]]:
    """The first chunk alone, so that it is heard soon; the others up to `size` at a time."""
    return [chunks[:1], *(chunks[start:start + size] for start in range(1, len(chunks), size))] if chunks else []
