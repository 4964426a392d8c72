"""The f5 engine: text, voice and settings in, samples out.

It cuts text, decides durations, draws noise and joins waves. It knows nothing about how a mel is sampled
(sampler.py), how a checkpoint is laid out (weights.py) or what a voice's audio file looks like (prompt.py).
"""

from __future__ import annotations

import logging
import time
from typing import Mapping, Sequence

import numpy as np
import torch

from ...core.engine import Canceled as IsCanceled, Emit, Progress, Speech
from ...core.types import ErrorCode, SpeechError, SynthesisSettings
from ...core.voices import Voice, VoiceRegistry
from ...normalization import language_of, normalize, prepare
from .acceleration import resolve_device, resolve_dtype
from .chunking import SHORT_TEXT, chunk_text, growing_chunks, split_oversized
from .config import FRAME_RATE, MEL_CHANNELS, SAMPLE_RATE, F5Config, architecture
from .crossfade import CrossFader, to_pcm
from .failures import as_speech_error, finite, release_memory
from .model import DiT
from .passage import Passage, by_solver, next_pass
from .prompt import Prompt, PromptCache
from .sampler import Canceled, SampleRequest, Sampler
from .throughput import Throughput
from .tokenizer import Tokenizer
from .vocoder import Vocoder
from .voices import ClonedVoices, ClonedVoicesEngine
from .weights import locate_checkpoint, locate_vocab, locate_vocoder

LONGEST_CHUNK = 43.0        # s with the reference: f5-tts has no text positions beyond 4,096 frames

logger = logging.getLogger(__name__)


class F5Engine(ClonedVoicesEngine):
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
        self._throughput = Throughput()
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
        if config.normalize_text:
            prepare()
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

    def prepare_voice(self, voice: Voice) -> None:
        """Make and keep the voice's prompt; see ClonesVoices."""
        self._prompts.get(voice)

    # Speech

    @property
    def device(self) -> torch.device:
        """Where it computes, once loaded."""
        return self._device

    @property
    def dtype(self) -> str:
        """Of the model's weights, as in F5Config.dtype."""
        return self._loaded_sampler().model.precision

    @property
    def counters(self) -> dict[str, int]:
        """What acceleration really ran; see Sampler.counters."""
        return self._loaded_sampler().counters

    def device_report(self) -> Mapping[str, object]:
        """See ReportsDevice."""
        sampler = self._sampler         # another thread may close the engine meanwhile
        model = sampler.model if sampler else None
        if model is None:
            return {}
        report = {'device': self._device, 'dtype': model.precision, 'batch_size': sampler.batch_size, **sampler.counters}
        if self._device.type == 'cuda':
            report |= {'name': torch.cuda.get_device_name(self._device),
                       'allocated [MiB]': torch.cuda.memory_allocated(self._device) >> 20,
                       'reserved [MiB]': torch.cuda.memory_reserved(self._device) >> 20}
        return report

    @property
    def batch_size(self) -> int:
        """How many utterances one pass may hold: found at warm-up, at most `max_batch`; 1 = batches do not pay."""
        return self._sampler.batch_size if self._sampler else 1

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: IsCanceled) -> None:
        """See Engine.

        :raises SpeechError: UNKNOWN_VOICE, INVALID_REFERENCE, NON_FINITE_AUDIO, OUT_OF_MEMORY, ENGINE_FAILED
        """
        failure, = self.synthesize_batch([Speech(text, settings, emit, canceled)])
        if failure:
            raise failure

    def synthesize_batch(self, batch: Sequence[Speech]) -> list[SpeechError | None]:
        """See BatchingEngine. Voices, texts, speeds and seeds may differ; a pass has one schedule, so utterances
        with another nfe_step, cfg_strength or sway_sampling_coef go through passes of their own.

        A pass is given up once all in it are canceled. If one fails, each of its pieces is tried alone.
        """
        passages = [self._open(speech) for speech in batch]
        for together in by_solver(passages):
            # what is heard next must not wait for the rest of its text, nor, when streaming, what comes after it
            size = 1 if len(batch) == 1 else self.batch_size
            while pieces := next_pass(together, size):
                self._speak(self._prepared(pieces))
                if not self._config.streaming:
                    size = self.batch_size
        if any(passage.failure for passage in passages):
            release_memory()
        return [passage.failure for passage in passages]

    def _open(self, speech: Speech) -> Passage:
        """Everything before the first pass; what goes wrong stands in the passage."""
        passage = Passage(speech, CrossFader(int(self._config.cross_fade * SAMPLE_RATE)))
        try:
            voice = self._voices.get(speech.settings.voice)
            passage.prompt = self._prompts.get(voice)
            passage.chunks.extend(self._chunks(self._spoken(speech, voice), passage.prompt, speech.settings))
            passage.noise = self._noise_generator(speech.settings.seed)
        except Exception as error:
            passage.fail(as_speech_error(error))
        return passage

    def _prepared(self, pieces: list[tuple[Passage, str]]) -> list[tuple[Passage, SampleRequest]]:
        """Requests with their noise drawn; without those for which that fails."""
        prepared = []
        for passage, chunk in pieces:
            try:
                prepared.append((passage, self._request(passage, chunk)))
            except Exception as error:
                self._fail(passage, as_speech_error(error))
        return prepared

    def _speak(self, pieces: list[tuple[Passage, SampleRequest]]) -> None:
        """One pass: sample together, then vocode and emit one by one."""
        if not pieces:
            return
        failure = None
        try:
            mels = self._sample(pieces)
        except Canceled:
            for passage, _ in pieces:
                passage.chunks.clear()
            return
        except Exception as error:
            failure = as_speech_error(error)
        if not failure:
            for (passage, _), mel in zip(pieces, mels):
                self._deliver(passage, mel)
        elif len(pieces) == 1:      # outside the handler, so that the failed call's tensors are free already
            self._fail(pieces[0][0], failure)
        else:
            self._give_back(failure)
            for piece in pieces:
                if piece[0].goes_on:
                    self._speak([piece])

    def _sample(self, pieces: list[tuple[Passage, SampleRequest]]) -> list[torch.Tensor]:
        speeches = list({id(passage): passage.speech for passage, _ in pieces}.values())
        settings = speeches[0].settings
        started = time.perf_counter()
        mels = self._loaded_sampler().sample(
            [request for _, request in pieces], nfe_step=settings.nfe_step, cfg_strength=settings.cfg_strength,
            sway_sampling_coef=settings.sway_sampling_coef,
            canceled=lambda: all(speech.canceled() for speech in speeches))
        length = sum(request.total_frames for _, request in pieces) / FRAME_RATE
        self._throughput.add(time.perf_counter() - started, settings.nfe_step, length)
        return mels

    def _deliver(self, passage: Passage, mel: torch.Tensor) -> None:
        if passage.failure:
            return
        failure = None
        try:
            passage.unheard -= 1
            settled = passage.fader.push(self._vocode(mel, passage.prompt), last=not (passage.chunks or passage.unheard))
            if not passage.speech.canceled() and len(settled):
                passage.speech.emit(to_pcm(settled))
        except Exception as error:
            failure = as_speech_error(error)
        if failure:
            self._fail(passage, failure)

    def _fail(self, passage: Passage, failure: SpeechError) -> None:
        passage.fail(failure)
        self._give_back(failure)

    def _give_back(self, failure: SpeechError) -> None:
        """What graphs and tables hold, where memory ran out."""
        if failure.code == ErrorCode.OUT_OF_MEMORY:
            self._loaded_sampler().release()

    def _spoken(self, speech: Speech, voice: Voice) -> str:
        """The text in words."""
        if not self._config.normalize_text:
            return speech.text
        return normalize(speech.text, language_of(speech.text, speech.settings.language, voice.language))

    def _chunks(self, text: str, prompt: Prompt, settings: SynthesisSettings) -> list[str]:
        limit = prompt.max_chunk_bytes(settings.speed)
        if self._config.streaming:
            chunks = self._growing_chunks(text, prompt, settings, limit)
        else:
            chunks = chunk_text(text, limit)
        longest = max(SHORT_TEXT, prompt.max_chunk_bytes(settings.speed, LONGEST_CHUNK))
        return [chunk for chunk in split_oversized(chunks, longest) if chunk]

    def _growing_chunks(self, text: str, prompt: Prompt, settings: SynthesisSettings, limit: int) -> list[str]:
        """Each chunk as long as this machine can make while the one before is played."""
        per_second = prompt.bytes_per_second * settings.speed
        shortest = self._throughput.shortest(prompt.seconds, settings.nfe_step) * per_second
        return growing_chunks(
            text, limit, int(max(self._config.first_chunk, min(shortest, limit))),
            lambda size: self._throughput.following(size / per_second, prompt.seconds, settings.nfe_step) * per_second)

    def _request(self, passage: Passage, chunk: str) -> SampleRequest:
        prompt, speed = passage.prompt, passage.speech.settings.speed
        request = SampleRequest(prompt.mel, self._tokenizer.encode(prompt.lead + chunk), prompt.duration(chunk, speed))
        request.noise = torch.randn(request.total_frames, MEL_CHANNELS, generator=passage.noise, device=self._device)
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
