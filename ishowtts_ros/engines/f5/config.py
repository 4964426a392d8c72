"""What the f5 engine can be told at load time, and the architectures it knows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Mapping, Sequence

from ...core.types import ErrorCode, SpeechError

SAMPLE_RATE = 24_000                # Hz
HOP_LENGTH = 256                    # samples per mel frame
FRAME_RATE = SAMPLE_RATE / HOP_LENGTH   # mel frames per second, 93.75
MEL_CHANNELS = 100

COMPILE_MODES = ('none', 'default', 'reduce-overhead', 'max-autotune')
DTYPES = ('auto', 'float16', 'bfloat16', 'float32', 'int8')
VOCODER_DTYPES = DTYPES[:-1]


@dataclass(frozen=True)
class Architecture:
    """Shape of an F5-TTS diffusion transformer; field names as in upstream's model yaml (`model.arch`)."""

    dim: int                            # width of the residual stream
    depth: int                          # transformer blocks
    heads: int
    ff_mult: float                      # feed-forward width over dim
    text_dim: int                       # width of the text encoder
    conv_layers: int                    # ConvNeXt V2 blocks of the text encoder
    text_mask_padding: bool = True      # keep the text embedding zero past the last token
    pe_attn_head: int | None = None     # rotary embedding on the first heads only; None = on all
    qk_norm: str | None = None          # None or 'rms_norm'
    dim_head: int = 64
    mel_dim: int = MEL_CHANNELS

    def __post_init__(self):
        if self.qk_norm not in (None, 'rms_norm'):
            raise invalid('qk_norm', self.qk_norm, 'null or rms_norm')
        if self.dim % 16:
            raise invalid('dim', self.dim, 'a multiple of 16, the groups of the position convolution')

    @property
    def inner_dim(self) -> int:
        """Width of queries, keys and values over all heads."""
        return self.heads * self.dim_head

    @property
    def ff_dim(self) -> int:
        return int(self.dim * self.ff_mult)

    def flops_per_pass(self, frames: int) -> float:
        """Arithmetic floor of one transformer pass over `frames` mel frames, one row: multiply-adds count two.

        Matrix products, the two position convolutions and attention, as upstream's model does them in every step.
        For F5TTS_v1_Base this is frames * (378.9e6 + 90,112 * frames).
        """
        block = self.dim * 4 * self.inner_dim + 2 * self.dim * self.ff_dim
        convolution = 2 * 31 * self.dim * self.dim // 16
        linear = self.depth * block + convolution + (3 * self.mel_dim + self.text_dim) * self.dim
        return frames * (2.0 * linear + 4.0 * self.depth * self.inner_dim * frames)


ARCHITECTURES = {
    'F5TTS_v1_Base': Architecture(1024, 22, 16, 2, 512, 4),
    'F5TTS_v1_Small': Architecture(768, 18, 12, 2, 512, 4),
    'F5TTS_Base': Architecture(1024, 22, 16, 2, 512, 4, text_mask_padding=False, pe_attn_head=1),
    'F5TTS_Small': Architecture(768, 18, 12, 2, 512, 4, text_mask_padding=False, pe_attn_head=1),
}

# keys of `model.arch` that change training or the attention kernel, never the result at inference
_IRRELEVANT = {'checkpoint_activations', 'attn_backend', 'attn_mask_enabled', 'dropout'}
# keys whose default is the only value this engine implements
_UNSUPPORTED = {'long_skip_connection': False, 'text_embedding_average_upsampling': False}


def architecture(model: str) -> Architecture:
    """The architecture named `model`, or the one in the yaml file at that path.

    :raises SpeechError: INVALID_PARAMETER when there is neither, or the file does not describe an F5-TTS DiT
    """
    if model in ARCHITECTURES:
        return ARCHITECTURES[model]
    if model.endswith(('.yaml', '.yml')):
        return from_yaml(model)
    raise invalid('model', model, f"one of {', '.join(ARCHITECTURES)}, or the path of a model .yaml")


def from_yaml(path: str | Path) -> Architecture:
    """Read upstream's model yaml (src/f5_tts/configs/*.yaml): `model.backbone`, `model.arch`, `model.mel_spec`."""
    import yaml

    try:
        model = yaml.safe_load(Path(path).expanduser().read_text(encoding='utf-8'))['model']
        arch: Mapping[str, Any] = model['arch']
        known = {field.name for field in fields(Architecture)}
        spec = {'sample rate': (model.get('mel_spec') or {}).get('target_sample_rate', SAMPLE_RATE)}
        values = {key: value for key, value in arch.items() if key in known}
        refused = {key for key in set(arch) - known - _IRRELEVANT if arch[key] != _UNSUPPORTED.get(key)}
        if model.get('backbone', 'DiT') != 'DiT' or refused or spec['sample rate'] != SAMPLE_RATE:
            raise ValueError(f"backbone {model.get('backbone')}, {sorted(refused)}, {spec} are not supported; "
                             f'a DiT at {SAMPLE_RATE} Hz is')
        return Architecture(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f"cannot read an F5-TTS architecture from '{path}': {error!r}; "
                          'give a file laid out like f5_tts/configs/F5TTS_v1_Base.yaml') from error


@dataclass(frozen=True)
class F5Config:
    """Load-time options of the f5 engine, the ROS parameters `f5.<name>`."""

    # what to load
    model: str = 'F5TTS_v1_Base'        # preset name, or path of a model .yaml
    checkpoint: str = ''                # .safetensors or .pt; '' = Hugging Face cache, else download
    vocab: str = ''                     # vocab.txt; '' = beside the checkpoint, else cache, else download
    vocoder: str = ''                   # folder with config.yaml and pytorch_model.bin; '' = cache, else download
    # where and how to compute
    device: str = 'auto'                # 'auto' | 'cpu' | 'cuda' | 'cuda:<n>'
    dtype: str = 'auto'                 # 'auto' | 'float16' | 'bfloat16' | 'float32' | 'int8'; auto: fp16 on CUDA,
                                        # bf16 on a CPU with bf16 matrix instructions, else fp32. int8: faster on a
                                        # CPU without them, and not equal to f5-tts
    vocoder_dtype: str = 'float32'      # 'float32' | 'float16' | 'bfloat16' | 'auto' (= that of the model)
    threads: int = 0                    # CPU threads of torch; 0 = leave torch's own choice
    # acceleration, each with its off value
    compile: str = 'none'               # torch.compile mode: 'none' | 'default' | 'reduce-overhead' | 'max-autotune'
    compile_dynamic: bool = True        # one compilation for all lengths; False = one per bucket
    cuda_graphs: bool = True            # capture and replay one CUDA graph per (batch, bucket); CUDA only
    graph_memory_limit: float = 4.0     # GiB that captured graphs may hold; the least recently used goes first
    padding: str = 'auto'               # 'auto' | 'on' | 'off': pad to a bucket; auto = only where graphs or
                                        # per-bucket compilation need it
    buckets: Sequence[float] = (4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 30.0)
                                        # total lengths [s], reference + speech; longer ones run unpadded and eager
    max_batch: int = 1                  # requests sampled in one pass at most
    batching: str = 'auto'              # 'auto' | 'always': auto = only as many as warm-up has found to pay
    # how it is heard
    normalize_text: bool = True         # numbers, units, times, abbreviations and addresses as words
    streaming: bool = False             # cut a short first chunk, then growing ones: sooner heard, other melody
    first_chunk: int = 40               # UTF-8 bytes the first chunk may have when streaming; it ends with a clause
    cross_fade: float = 0.15            # s between chunks, as in f5-tts; 0 = none
    prompt_cache: int = 16              # voices kept ready

    def __post_init__(self):
        if self.compile not in COMPILE_MODES:
            raise invalid('compile', self.compile, f"one of {', '.join(COMPILE_MODES)}")
        for name, choices in (('dtype', DTYPES), ('vocoder_dtype', VOCODER_DTYPES)):
            if getattr(self, name) not in choices:
                raise invalid(name, getattr(self, name), f"one of {', '.join(choices)}")
        if self.dtype == 'int8' and self.compile != 'none':
            raise invalid('compile', self.compile, 'none where f5.dtype is int8, whose products torch cannot compile')
        if self.batching not in ('auto', 'always'):
            raise invalid('batching', self.batching, 'one of auto, always')
        if self.padding not in ('auto', 'on', 'off'):
            raise invalid('padding', self.padding, 'one of auto, on, off')
        if not all(seconds > 0 for seconds in self.buckets):
            raise invalid('buckets', self.buckets, 'lengths over 0 s')
        if self.first_chunk < 10 or not 0 <= self.cross_fade <= 2 or self.prompt_cache < 1:
            raise SpeechError(ErrorCode.INVALID_PARAMETER,
                              'f5 needs first_chunk >= 10 bytes, cross_fade from 0 to 2 s and prompt_cache >= 1')
        if self.max_batch < 1 or self.threads < 0 or self.graph_memory_limit < 0:
            raise SpeechError(ErrorCode.INVALID_PARAMETER,
                              'f5 needs max_batch >= 1, threads >= 0 and graph_memory_limit >= 0 GiB')

    @property
    def bucket_frames(self) -> tuple[int, ...]:
        """The buckets in mel frames, ascending, rounded up to a multiple of 16 (what attention kernels align to)."""
        return tuple(sorted({-(-int(seconds * FRAME_RATE) // 16) * 16 for seconds in self.buckets}))


def invalid(name: str, value: Any, valid: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_PARAMETER, f"f5 option {name} = '{value}' is not valid; it takes {valid}")
