"""The F5-TTS diffusion transformer (arXiv:2410.06885), laid out for inference.

Equal in its results to upstream's DiT (SWivid/F5-TTS, src/f5_tts/model/backbones/dit.py), but split by how often
something changes: AdaLN modulations are computed once per time schedule, text and prompt projections once per
utterance, and only what depends on the noisy mel is left in the step. Knows nothing of solvers, seeds or devices.

Shape letters: b requests in a batch; r rows, b or with guidance 2b (all conditional rows first, then all
unconditional ones); n mel frames; d `dim`; h heads; k `dim_head`; m mel channels.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Callable, NamedTuple, Sequence, Union

import torch
from torch import Tensor, nn
import torch.nn.functional as F

from . import int8, layers, weights
from .config import Architecture

_EPS = 1e-6                     # of every norm
_CONV_GROUPS = 16

Weight = Union[Tensor, torch.ScriptObject]                  # plain, or as int8.pack makes it
Linear = Callable[[Tensor, Weight, Tensor], Tensor]         # x [..., in], weight [out, in], bias [out] -> [..., out]


class BlockWeights(NamedTuple):
    """One transformer block. Fused: `qkv` is to_q, to_k and to_v stacked, q and k rows rotated-half-first."""

    qkv_weight: Weight          # [3 h k, d]
    qkv_bias: Tensor            # [3 h k]
    out_weight: Weight          # [d, h k]
    out_bias: Tensor            # [d]
    up_weight: Weight           # [ff, d]
    up_bias: Tensor             # [ff]
    down_weight: Weight         # [d, ff]
    down_bias: Tensor           # [d]
    q_norm: Tensor | None       # [k]
    k_norm: Tensor | None       # [k]


class InputWeights(NamedTuple):
    """The part of the input embedding that runs in every step."""

    mel_weight: Tensor          # [d, m] columns of input_embed.proj that see the noisy mel
    conv1_weight: Tensor        # [d, d / 16, 31]
    conv2_weight: Tensor        # [d, d / 16, 31]
    conv2_bias: Tensor          # [d]


@dataclass
class Conditioning:
    """What stays the same over the steps of one utterance (or batch of them)."""

    projection: Tensor          # [r, n, d] prompt, text and bias part of the input projection
    convolution: Tensor         # [r, d, n] the first position convolution of `projection`, with its bias
    cos: Tensor                 # [n, 1 or h, k / 2] rotary embedding
    sin: Tensor                 # [n, 1 or h, k / 2]
    valid: Tensor | None        # [r, n, 1] 1 inside a request, 0 in its padding; None = no padding anywhere
    key_bias: Tensor | None     # [r, 1, 1, n] 0 where valid, -inf where not; None = no padding anywhere

    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.projection, self.convolution, self.cos, self.sin, self.valid, self.key_bias


class Prompt(NamedTuple):
    """What one request is conditioned on."""

    mel: Tensor                 # [ref_frames, m] fp32
    tokens: Tensor              # [n_tokens] int64
    frames: int                 # prompt + speech


def embed(mel: Tensor, projection: Tensor, convolution: Tensor, valid: Tensor | None, w: InputWeights) -> Tensor:
    """Noisy mel [b, n, m] -> transformer input [r, n, d].

    The noisy mel is the same in conditional and unconditional rows and the first convolution is linear, so its mel
    part is computed for b rows only and the rest comes ready in `convolution`.
    """
    rows = projection.shape[0] // mel.shape[0]
    h = F.linear(mel, w.mel_weight)
    c = F.conv1d(h.transpose(1, 2), w.conv1_weight, padding=w.conv1_weight.shape[-1] // 2, groups=_CONV_GROUPS)
    if rows > 1:
        h, c = torch.cat([h] * rows), torch.cat([c] * rows)
    c = F.mish(c + convolution)
    if valid is not None:
        c = c * valid.transpose(1, 2)
    c = F.mish(F.conv1d(c, w.conv2_weight, w.conv2_bias, padding=w.conv2_weight.shape[-1] // 2, groups=_CONV_GROUPS))
    return h + projection + c.transpose(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [r, n, h, k] whose first and second halves are the real and imaginary parts."""
    pairs = x.unflatten(-1, (2, -1))
    out = pairs * cos.unsqueeze(-2)
    out[..., 0, :].addcmul_(pairs[..., 1, :], sin, value=-1)
    out[..., 1, :].addcmul_(pairs[..., 0, :], sin)
    return out.flatten(-2)


def block(h: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor, key_bias: Tensor | None, w: BlockWeights,
          dim_head: int, linear: Linear = F.linear) -> Tensor:
    """One transformer block: h [r, n, d] -> [r, n, d].

    :param modulation: [6, d] shift, 1 + scale and gate of the attention, then of the feed-forward
    :param linear: what multiplies by the weights in `w`
    """
    shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation.unbind()
    qkv = linear(F.layer_norm(h, h.shape[-1:], scale, shift, _EPS), w.qkv_weight, w.qkv_bias)
    query, key, value = qkv.unflatten(-1, (3, -1, dim_head)).unbind(2)
    if w.q_norm is not None:
        query = F.rms_norm(query, query.shape[-1:], w.q_norm, _EPS)
        key = F.rms_norm(key, key.shape[-1:], w.k_norm, _EPS)
    attended = F.scaled_dot_product_attention(
        rotate(query, cos, sin).transpose(1, 2), rotate(key, cos, sin).transpose(1, 2), value.transpose(1, 2),
        attn_mask=key_bias)
    h = torch.addcmul(h, gate, linear(attended.transpose(1, 2).flatten(2), w.out_weight, w.out_bias))
    up = F.gelu(linear(F.layer_norm(h, h.shape[-1:], ff_scale, ff_shift, _EPS), w.up_weight, w.up_bias),
                approximate='tanh')
    return torch.addcmul(h, ff_gate, linear(up, w.down_weight, w.down_bias))


def project(h: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Transformer output [r, n, d] -> velocity [r, n, m]; modulation is [2, d], shift and 1 + scale."""
    shift, scale = modulation.unbind()
    return F.linear(F.layer_norm(h, h.shape[-1:], scale, shift, _EPS), weight, bias)


class Parts(NamedTuple):
    """The functions that a step is made of; acceleration gives their compiled forms instead."""

    embed: Callable = embed
    block: Callable = block
    project: Callable = project


class TextBlock(nn.Module):
    """ConvNeXt V2 block over text (arXiv:2301.00808; upstream ConvNeXtV2Block)."""

    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = layers.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.pwconv1 = layers.Linear(dim, 2 * dim)
        self.gamma = nn.Parameter(torch.empty(2 * dim))
        self.beta = nn.Parameter(torch.empty(2 * dim))
        self.pwconv2 = layers.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[r, n, text_dim] -> the same. Looks at all n positions: pad nothing that upstream does not pad."""
        y = F.gelu(self.pwconv1(self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))))
        energy = y.norm(dim=1, keepdim=True)
        y = torch.addcmul(y, y * (energy / (energy.mean(-1, keepdim=True) + _EPS)), self.gamma) + self.beta
        return x + self.pwconv2(y)


class DiT(nn.Module):
    """Predicts the flow (velocity) of a mel at one time of a schedule.

    Parameters that every step reads have the compute dtype; what is read once per utterance or per schedule computes
    in fp32 (the AdaLN projections, 40 % of F5TTS_v1_Base's weights, are stored in the compute dtype all the same).
    """

    def __init__(self, arch: Architecture, vocab_size: int):
        super().__init__()
        self.arch = arch
        self.vocab_size = vocab_size
        self.quantized = False                      # see `quantize`
        dim, inner, wide, text = arch.dim, arch.inner_dim, arch.ff_dim, arch.text_dim
        parameters = {
            'text_embedding': (vocab_size + 1, text),     # a bare tensor: initialising nn.Embedding imports dynamo
            'mel_weight': (dim, arch.mel_dim), 'cond_weight': (dim, arch.mel_dim), 'text_weight': (dim, text),
            'input_bias': (dim,),
            'conv1_weight': (dim, dim // _CONV_GROUPS, 31), 'conv1_bias': (dim,),
            'conv2_weight': (dim, dim // _CONV_GROUPS, 31), 'conv2_bias': (dim,),
            'time1_weight': (dim, 256), 'time1_bias': (dim,), 'time2_weight': (dim, dim), 'time2_bias': (dim,),
            'ada_weight': (arch.depth, 6 * dim, dim), 'ada_bias': (arch.depth, 6 * dim),
            'ada_out_weight': (2 * dim, dim), 'ada_out_bias': (2 * dim,),
            'qkv_weight': (arch.depth, 3 * inner, dim), 'qkv_bias': (arch.depth, 3 * inner),
            'out_weight': (arch.depth, dim, inner), 'out_bias': (arch.depth, dim),
            'up_weight': (arch.depth, wide, dim), 'up_bias': (arch.depth, wide),
            'down_weight': (arch.depth, dim, wide), 'down_bias': (arch.depth, dim),
            'proj_weight': (arch.mel_dim, dim), 'proj_bias': (arch.mel_dim,),
        }
        if arch.qk_norm:
            parameters |= {'q_norm': (arch.depth, arch.dim_head), 'k_norm': (arch.depth, arch.dim_head)}
        for name, shape in parameters.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape), requires_grad=False))
        self.text_blocks = nn.ModuleList(TextBlock(text) for _ in range(arch.conv_layers))
        self.requires_grad_(False)

    @classmethod
    def load(cls, checkpoint: Path, arch: Architecture, vocab_size: int, device: torch.device,
             dtype: torch.dtype) -> DiT:
        """Read, check, fuse and cast a published checkpoint.

        :raises SpeechError: LOAD_FAILED, naming the file and the first tensor that does not fit
        """
        state = weights.load_state(checkpoint)
        weights.check(state, arch, vocab_size, f"checkpoint '{checkpoint}'")
        return cls.from_fused(weights.fuse(state, arch), arch, vocab_size, device, dtype)

    # read once per utterance or schedule, where fp32 costs nothing
    _FP32 = ('cond_weight', 'text_weight', 'input_bias', 'time', 'text_')

    @classmethod
    def from_fused(cls, state: dict[str, Tensor], arch: Architecture, vocab_size: int, device: torch.device,
                   dtype: torch.dtype) -> DiT:
        """A model on `device` with the tensors of `weights.fuse`, cast once. Empties `state` as it goes."""
        with torch.device('meta'):
            model = cls(arch, vocab_size)
        cast = {}
        for name in list(state):
            kept = torch.float32 if name.startswith(cls._FP32) else dtype
            cast[name] = state.pop(name).to(device=device, dtype=kept)
        model.load_state_dict(cast, assign=True)
        model.bind()
        return model.eval().requires_grad_(False)

    def quantize(self) -> None:
        """Let the blocks multiply in 8 bits from now on, and drop their 32-bit weights. For an fp32 model on a CPU.

        :raises SpeechError: ENGINE_UNAVAILABLE where the CPU or torch has no such kernel
        """
        for name in ('qkv_weight', 'out_weight', 'up_weight', 'down_weight'):
            packed = [int8.pack(weight) for weight in getattr(self, name)]
            setattr(self, name, None)
            self.block_weights = [w._replace(**{name: p}) for w, p in zip(self.block_weights, packed)]
        self.quantized = True

    def bind(self) -> None:
        """Gather the step's tensors, so that the step itself looks nothing up."""
        norms = (self.q_norm, self.k_norm) if self.arch.qk_norm else None
        self.block_weights = [
            BlockWeights(self.qkv_weight[i], self.qkv_bias[i], self.out_weight[i], self.out_bias[i],
                         self.up_weight[i], self.up_bias[i], self.down_weight[i], self.down_bias[i],
                         *((norms[0][i], norms[1][i]) if norms else (None, None)))
            for i in range(self.arch.depth)]
        self.input_weights = InputWeights(self.mel_weight, self.conv1_weight, self.conv2_weight, self.conv2_bias)

    @property
    def device(self) -> torch.device:
        return self.proj_weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.proj_weight.dtype

    @property
    def precision(self) -> str:
        """As in F5Config.dtype."""
        return 'int8' if self.quantized else str(self.dtype).removeprefix('torch.')

    # once per time schedule

    @torch.no_grad()
    def modulations(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """AdaLN tables of a schedule: [steps, depth, 6, d] and [steps, 2, d], every scale already 1 + scale.

        :param times: [steps] fp64, where the velocity is evaluated
        """
        half = self.time1_weight.shape[1] // 2
        frequency = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10_000) / (half - 1)))
        angle = 1000 * times.double().cpu()[:, None] * frequency
        wave = torch.cat((angle.sin(), angle.cos()), dim=-1).to(self.device, torch.float32)
        hidden = F.silu(F.linear(wave, self.time1_weight, self.time1_bias))
        emb = F.silu(F.linear(hidden, self.time2_weight, self.time2_bias))
        blocks = torch.stack([F.linear(emb, weight.float(), bias.float())
                              for weight, bias in zip(self.ada_weight, self.ada_bias)], dim=1)
        blocks = blocks.unflatten(-1, (6, -1))
        blocks[:, :, [1, 4]] += 1
        final = F.linear(emb, self.ada_out_weight.float(), self.ada_out_bias.float()).unflatten(-1, (2, -1)).flip(1)
        final[:, 1] += 1
        return blocks.to(self.dtype), final.to(self.dtype)

    # once per utterance

    @torch.no_grad()
    def encode_text(self, tokens: Tensor, frames: int) -> Tensor:
        """Text embedding at mel rate, fp32 [2, frames, text_dim]: with the text, and without it for guidance.

        Both depend on `frames` (GRN sums over all positions), so a request is encoded at its own length, never at
        that of its bucket. `tokens` [n_tokens] are cut to `frames`.
        """
        tokens = F.pad(tokens[:frames] + 1, (0, max(frames - len(tokens), 0)))      # 0 is the filler token
        x = F.embedding(torch.stack((tokens, torch.zeros_like(tokens))), self.text_embedding)
        if not self.text_blocks:
            return x
        x = x + sinusoids(frames, x.shape[-1], x.device)
        # upstream takes the mask from the tokens before it drops them: filler stays zero in both rows
        keep = (tokens != 0).to(x.dtype)[:, None] if self.arch.text_mask_padding else None
        if keep is not None:
            x = x * keep
        for text_block in self.text_blocks:
            x = text_block(x)
            if keep is not None:
                x = x * keep
        return x

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt], frames: int, guided: bool, masked: bool) -> Conditioning:
        """Prepare a batch of prompts, padded to `frames`.

        :param guided: add the unconditional rows of classifier-free guidance
        :param masked: mask the padding out; without it every prompt must fill `frames`
        """
        rows = (2 if guided else 1) * len(prompts)
        projection = torch.zeros(rows, frames, self.arch.dim, device=self.device)
        for index, prompt in enumerate(prompts):
            n, ref = prompt.frames, len(prompt.mel)
            text = F.linear(self.encode_text(prompt.tokens, n), self.text_weight, self.input_bias)
            projection[index, :n] = text[0]
            projection[index, :ref] += F.linear(prompt.mel, self.cond_weight)
            if guided:
                projection[len(prompts) + index, :n] = text[1]
        projection = projection.to(self.dtype)
        convolution = F.conv1d(projection.transpose(1, 2), self.conv1_weight, self.conv1_bias,
                               padding=self.conv1_weight.shape[-1] // 2, groups=_CONV_GROUPS)
        valid = key_bias = None
        if masked:
            ends = torch.tensor([prompt.frames for prompt in prompts], device=self.device).repeat(rows // len(prompts))
            inside = torch.arange(frames, device=self.device) < ends[:, None]
            valid = inside.to(self.dtype)[:, :, None]
            key_bias = torch.zeros(inside.shape, dtype=self.dtype, device=self.device)
            key_bias = key_bias.masked_fill(~inside, -math.inf)[:, None, None]
        return Conditioning(projection, convolution, *self.rotary(frames), valid, key_bias)

    def rotary(self, frames: int) -> tuple[Tensor, Tensor]:
        """cos and sin of the rotary embedding, [frames, 1 or heads, dim_head / 2]."""
        half = self.arch.dim_head // 2
        frequency = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.outer(torch.arange(frames, dtype=torch.float64), frequency)[:, None]
        if self.arch.pe_attn_head is not None:      # the other heads are not rotated
            angle = angle.repeat(1, self.arch.heads, 1)
            angle[:, self.arch.pe_attn_head:] = 0
        return angle.cos().to(self.device, self.dtype), angle.sin().to(self.device, self.dtype)

    # in every step

    def velocity(self, mel: Tensor, blocks: Tensor, final: Tensor, condition: Conditioning,
                 parts: Parts = Parts()) -> Tensor:
        """Velocity [r, n, m] of the noisy mel [b, n, m] at one time.

        :param blocks: [depth, 6, d] and `final` [2, d]: that time's rows of `modulations`
        """
        h = parts.embed(mel.to(self.dtype), condition.projection, condition.convolution, condition.valid,
                        self.input_weights)
        for modulation, block_weights in zip(blocks, self.block_weights):
            h = parts.block(h, modulation, condition.cos, condition.sin, condition.key_bias, block_weights,
                            self.arch.dim_head)
        return parts.project(h, final, self.proj_weight, self.proj_bias)


def sinusoids(frames: int, dim: int, device: torch.device) -> Tensor:
    """Absolute positions of the text encoder, fp32 [frames, dim]: cosines, then sines (precompute_freqs_cis)."""
    frequency = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.outer(torch.arange(frames, dtype=torch.float64), frequency)
    return torch.cat((angle.cos(), angle.sin()), dim=-1).to(device, torch.float32)
