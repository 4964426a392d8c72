"""F5-TTS as its authors ship it: the unmodified f5-tts package behind the Engine interface.

The baseline that the fast engine is measured against, and the way back when that one misbehaves.
Importing f5_tts takes about 20 s, so it happens in `load` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..core.engine import Canceled, Emit, Progress
from ..core.types import ErrorCode, SpeechError, SynthesisSettings
from ..core.voices import Voice, VoiceRegistry
from ..normalization import language_of, normalize, prepare
from .f5.config import SAMPLE_RATE
from .f5.crossfade import CrossFader, to_pcm
from .f5.failures import as_speech_error, finite, release_memory
from .f5.prompt import ended
from .f5.reference import MIN_DURATION
from .f5.voices import ClonedVoices, ClonedVoicesEngine
from .f5.weights import locate_checkpoint, locate_vocab, locate_vocoder

CROSS_FADE = 0.15       # s, f5-tts's default
TAIL = 0.05             # s of silence that f5-tts appends to a reference


@dataclass(frozen=True)
class F5UpstreamConfig:
    """Load-time options of the f5_upstream engine, the ROS parameters `f5_upstream.<name>`."""

    model: str = 'F5TTS_v1_Base'    # one of f5-tts's own configurations, or path of a model .yaml
    checkpoint: str = ''            # .safetensors or .pt; '' = Hugging Face cache, else download
    vocab: str = ''                 # vocab.txt; '' = beside the checkpoint, else cache, else download
    vocoder: str = ''               # folder with config.yaml and pytorch_model.bin; '' = cache, else download
    device: str = 'auto'            # 'auto' | 'cpu' | 'cuda' | 'cuda:<n>'
    normalize_text: bool = True     # numbers, units, abbreviations as words; off: the text as f5-tts would get it


class F5UpstreamEngine(ClonedVoicesEngine):
    """Speaks chunk by chunk, in order: f5-tts's own thread pool would draw noise in no fixed order.

    f5-tts cannot be stopped inside a chunk, so canceling waits for the chunk at hand.
    """

    name = 'f5_upstream'
    sample_rate = SAMPLE_RATE
    has_solver = True

    def __init__(self, config: F5UpstreamConfig, voices: VoiceRegistry):
        self._config = config
        self._voices = ClonedVoices(voices)
        self._package = None
        self._model = None
        self._vocoder = None

    def load(self, progress: Progress) -> None:
        """Import f5_tts and let it read its weights: fp16 on CUDA, fp32 elsewhere.

        :raises SpeechError: ENGINE_UNAVAILABLE without the f5-tts package, LOAD_FAILED when it refuses the files
        """
        progress(0.0, 'importing f5_tts')
        try:
            from f5_tts.infer import utils_infer
            from f5_tts.model import DiT
        except (ImportError, OSError, RuntimeError) as error:       # torchaudio of another CUDA raises the last two
            raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE,
                              f"engine 'f5_upstream' needs the f5-tts package, and a torchaudio that fits torch: {error}; "
                              "pip install '.[upstream]' in the folder of ishowtts, or choose engine 'f5'") from error
        config = self._config
        if config.normalize_text:
            prepare()
        checkpoint = locate_checkpoint(config, progress)
        vocab = locate_vocab(config, checkpoint, progress)
        vocoder = locate_vocoder(config, progress)
        progress(0.5, 'loading f5_tts')
        self._package = utils_infer
        self._device = utils_infer.device if config.device == 'auto' else config.device
        try:
            self._model = utils_infer.load_model(DiT, upstream_architecture(config.model), str(checkpoint),
                                                 vocab_file=str(vocab), device=self._device)
            self._vocoder = utils_infer.load_vocoder(is_local=True, local_path=str(vocoder), device=self._device)
        except Exception as error:
            reason = ' '.join(str(error).split())[:300]         # torch lists every tensor
            raise SpeechError(ErrorCode.LOAD_FAILED, f'f5-tts cannot load {checkpoint} as {config.model}: {reason}; '
                              'give the model that belongs to the checkpoint, and its vocab.txt') from error
        progress(1.0, 'loaded')

    def warmup(self, progress: Progress) -> None:
        """Speak a word with the default voice, if there is one."""
        if self._voices.default:
            self.synthesize('Hello.', SynthesisSettings(nfe_step=2), lambda samples: None, lambda: False)
        progress(1.0, 'warmed up')

    def prepare_voice(self, voice: Voice) -> None:
        """Have f5-tts prepare the recording, which it keeps; see ClonesVoices."""
        self._reference(voice)

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: Canceled) -> None:
        """See Engine. Raises what went wrong as SpeechError and is ready for the next utterance."""
        voice = self._voices.get(settings.voice)
        failure = None
        try:
            self._speak(text, voice, settings, emit, canceled)
        except Exception as error:
            failure = as_speech_error(error)
        if failure:             # outside the handler, so that the failed call's tensors are free already
            release_memory()
            raise failure

    def _speak(self, text: str, voice: Voice, settings: SynthesisSettings, emit: Emit, canceled: Canceled) -> None:
        if self._config.normalize_text:
            text = normalize(text, language_of(text, settings.language, voice.language))
        audio, rate, transcript = self._reference(voice)
        seconds = audio.shape[-1] / rate
        # the rule of f5-tts's infer_process, which reads its reference through ffmpeg and so is not called here
        max_chars = int(len(transcript.encode('utf-8')) / seconds * (22 - seconds) * settings.speed)
        chunks = [chunk for chunk in self._package.chunk_text(text, max_chars=max_chars) if chunk]
        if settings.seed >= 0:
            torch.manual_seed(settings.seed)
        fader = CrossFader(int(CROSS_FADE * SAMPLE_RATE))
        for index, chunk in enumerate(chunks):
            if canceled():
                return
            wave, _, _ = next(self._package.infer_batch_process(
                (audio, rate), transcript, [chunk], self._model, self._vocoder, progress=None,
                cross_fade_duration=CROSS_FADE, nfe_step=settings.nfe_step, cfg_strength=settings.cfg_strength,
                sway_sampling_coef=settings.sway_sampling_coef, speed=settings.speed, device=self._device))
            if canceled():
                return
            settled = fader.push(finite(wave), last=index == len(chunks) - 1)
            if len(settled):
                emit(to_pcm(settled))

    def _reference(self, voice: Voice) -> tuple[torch.Tensor, int, str]:
        """What f5-tts makes of a voice: float32 [channels, n_samples], its rate [Hz], transcript.

        f5-tts keeps what it has prepared, by a hash of the file's content.
        """
        import soundfile

        ended(voice.transcript, voice.name)      # without a transcript f5-tts would download a speech recognizer
        try:
            path, transcript = self._package.preprocess_ref_audio_text(
                str(voice.audio), voice.transcript, show_info=lambda message: None)
            samples, rate = soundfile.read(path, dtype='float32', always_2d=True)
        except Exception as error:
            raise SpeechError(ErrorCode.INVALID_REFERENCE,
                              f"f5-tts cannot read the reference audio of voice '{voice.name}': {error}; give a "
                              'wav file (f5-tts reads flac and mp3 only where ffmpeg is installed)') from error
        if len(samples) < (MIN_DURATION + TAIL) * rate or not samples.any():
            raise SpeechError(ErrorCode.INVALID_REFERENCE,
                              f"the reference audio of voice '{voice.name}' is silent or too short; "
                              'give 3 to 12 s of speech')
        return torch.from_numpy(samples.T.copy()), rate, transcript

    @property
    def device(self) -> torch.device:
        """Where it computes, once loaded."""
        return self._model.device

    @property
    def transformer(self) -> torch.nn.Module:
        """f5-tts's network, called in every solver step."""
        return self._model.transformer

    @property
    def dtype(self) -> str:
        """Of the model's weights: 'float16' or 'float32'."""
        return str(next(self._model.parameters()).dtype).removeprefix('torch.')

    def close(self) -> None:
        self._model = self._vocoder = None
        release_memory()


def upstream_architecture(model: str) -> dict:
    """The arguments of f5-tts's DiT, from its own configuration of that name or from a yaml file.

    :raises SpeechError: INVALID_PARAMETER
    """
    from importlib.resources import files

    import yaml

    path = Path(model).expanduser() if model.endswith(('.yaml', '.yml')) else files('f5_tts') / f'configs/{model}.yaml'
    try:
        return dict(yaml.safe_load(path.read_text(encoding='utf-8'))['model']['arch'])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f"cannot read an F5-TTS architecture from '{path}': {error!r}; give F5TTS_v1_Base or "
                          'a file laid out like f5_tts/configs/F5TTS_v1_Base.yaml') from error
