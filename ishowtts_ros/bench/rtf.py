"""How fast the f5 engine is: against f5-tts as shipped, and against what the arithmetic allows.

The physics. One pass of F5TTS_v1_Base's transformer over N mel frames (93.75 per second, reference included) takes
N * (378.9 MFLOP + 90,112 * N FLOP): the first part is matrix products and convolutions, the second attention, which
overtakes it only after 45 s. Classifier-free guidance doubles a pass, and each of the nfe_step solver steps is one.
For 5.33 s of reference and 8.37 s of speech that is N = 1,284 and 1.27 TFLOP per step, 8.9 TFLOP at NFE 7 and 41 at 32.
The vocoder adds less than a hundredth. So the time of an utterance is nearly nfe_step times that of a step, a step
cannot be faster than its arithmetic at the rate this machine multiplies matrices, and what remains above that
floor is memory traffic, kernel launches and work that need not be repeated in every step. The floor is
counted for the work as f5-tts does it; an engine that hoists constant parts out of the step comes nearer.

Everything goes through Engine.synthesize, in one process, warm, engines taking turns: from text to 16-bit samples.
Weights are random unless --checkpoint and --vocoder are given: speed does not depend on their values, the sound does.
The last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
import json
import os
from pathlib import Path
import platform
import resource
import statistics
import sys
import tempfile
import time
from typing import Any, Sequence

from ..core.types import SynthesisSettings
from ..core.voices import Voice, VoiceRegistry
from ..engines import registry
from ..engines.f5.config import FRAME_RATE, SAMPLE_RATE, F5Config, architecture

ENGINES = ('f5', 'f5_upstream')
DEFAULT_NFE = 32                    # of f5-tts
SENTENCE = 'Hello, I am the voice of your robot.'
FEW_STEPS = (1, 3)                  # what is timed where all would take too long


@dataclass(frozen=True)
class Timing:
    """One utterance, from the call of synthesize. Seconds."""

    total: float
    first_audio: float
    audio: float


@dataclass
class Result:
    """What was measured for one engine, text and nfe_step. Seconds unless it says otherwise."""

    engine: str
    speech: str
    nfe_step: int
    audio: float
    total: float
    first_audio_latency: float
    step: float
    rtf: float                      # total / audio [ratio]
    floor: float                    # share of the floor in a step [ratio]
    scaled: bool                    # from fewer steps than nfe_step


@dataclass
class Report:
    """All of it, as it stands in the JSON document."""

    machine: dict[str, Any]
    weights: str
    reference: float
    engines: dict[str, dict[str, Any]]
    gemm_tflops: dict[str, float]
    results: list[Result] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory(prefix='ishowtts-rtf-') as folder, redirect_stdout(sys.stderr):
        report = run(arguments, Path(folder))
    print_report(report)
    if arguments.plot:
        plot(report, arguments.plot)
    print(json.dumps(asdict(report)))
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='ishowtts bench rtf', description=__doc__.split('\n')[0])
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=list(ENGINES))
    parser.add_argument('--model', default='F5TTS_v1_Base', help='architecture, a name or a model .yaml')
    parser.add_argument('--checkpoint', default='', help='real weights instead of random ones')
    parser.add_argument('--vocab', default='', help='vocab.txt of --checkpoint')
    parser.add_argument('--vocoder', default='', help='folder of a real vocoder instead of a random one')
    parser.add_argument('--option', action='append', default=[], metavar='NAME=VALUE', help='of the f5 engine')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:<n>')
    parser.add_argument('--threads', type=int, default=0, help="CPU threads; 0 = torch's own choice")
    parser.add_argument('--nfe', nargs='+', type=int, default=[7, 8, 16, 32])
    parser.add_argument('--speech', nargs='+', type=float, default=[3.0, 8.37], help='lengths to speak [s]')
    parser.add_argument('--reference', type=float, default=5.33, help='length of the reference [s]')
    parser.add_argument('--repeat', type=int, default=3, help='runs, of which the median counts')
    parser.add_argument('--limit', type=float, default=600.0, help='time fewer steps if all took longer than this [s]')
    parser.add_argument('--plot', default='', metavar='FILE.png')
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace, folder: Path) -> Report:
    from .f5_material import reference_voice, text_for

    files, weights = weight_files(arguments, folder)
    voice = reference_voice(folder, arguments.reference)
    engines, about = {}, {}
    for name in arguments.engines:
        options = {**files, 'device': arguments.device}
        if name == 'f5':
            options.update(f5_options(arguments.option))
        engines[name], about[name] = load(name, options, voice)
    dtypes = {name: engine.dtype for name, engine in engines.items()}
    device = next(iter(engines.values())).device
    report = Report(machine(device), weights, arguments.reference, about,
                    {dtype: gemm_rate(dtype, device) for dtype in sorted(set(dtypes.values()))})
    texts = {f'{seconds:g} s': text_for(seconds, arguments.reference) for seconds in arguments.speech}
    texts['one sentence'] = SENTENCE
    arch = architecture(arguments.model)
    steps = steps_to_time(engines, list(texts.values()), arguments)
    for speech, text in texts.items():
        timings = time_engines(engines, text, steps, 1 if steps == FEW_STEPS else arguments.repeat)
        for name, by_steps in timings.items():
            rate = report.gemm_tflops[dtypes[name]] * 1e12
            report.results += results(name, speech, arguments, by_steps, arch, rate)
    report.ratios = ratios(report.results)
    for name, engine in engines.items():
        about[name].update(dtype=dtypes[name], peak_memory_gib=peak_memory(device), **getattr(engine, 'counters', {}))
        engine.close()
    return report


def weight_files(arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, str], str]:
    """Options that name the weights, and what to call them in the report."""
    from .f5_material import write_model, write_vocoder

    files = {'model': arguments.model, 'checkpoint': arguments.checkpoint, 'vocab': arguments.vocab,
             'vocoder': arguments.vocoder}
    random = [option for option in ('checkpoint', 'vocoder') if not files[option]]
    if 'checkpoint' in random:
        note('writing random weights')
        files.update(write_model(architecture(arguments.model), folder))
    if 'vocoder' in random:
        files['vocoder'] = write_vocoder(folder / 'vocos')
    return files, f"random {' and '.join(random)} of the real shape" if random else 'real'


def load(name: str, options: dict[str, Any], voice: Voice) -> tuple[Any, dict[str, Any]]:
    """The engine, loaded and warm, and how long both took."""
    engine = registry.create(name, options, VoiceRegistry([voice]))
    start = time.perf_counter()
    engine.load(lambda done, what: note(f'{name}: {what}'))
    loaded = time.perf_counter()
    engine.warmup(lambda done, what: note(f'{name}: {what}'))
    return engine, {'load_s': loaded - start, 'warmup_s': time.perf_counter() - loaded}


def f5_options(assignments: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE as options of the f5 engine, each of the type of its default."""
    options = {}
    for assignment in assignments:
        name, _, value = assignment.partition('=')
        default = getattr(F5Config(), name, '')
        options[name] = value if isinstance(default, str) else json.loads(value)
    return options


def steps_to_time(engines: dict[str, Any], texts: list[str], arguments: argparse.Namespace) -> tuple[int, ...]:
    """All of --nfe, or only a few steps when all would take longer than --limit."""
    per_step = 0.0
    for engine in engines.values():
        for text in texts:
            per_step += utter(engine, text, 1).total
    expected = per_step * sum(arguments.nfe) * arguments.repeat
    note(f'all steps would take about {expected:.0f} s, the limit is {arguments.limit:.0f} s')
    return FEW_STEPS if expected > arguments.limit else tuple(arguments.nfe)


def time_engines(engines: dict[str, Any], text: str, steps: Sequence[int], repeat: int) -> dict[str, dict[int, Timing]]:
    """Timings by engine and number of steps; the engines take turns, the median of each counts."""
    runs: dict[str, dict[int, list[Timing]]] = {name: {count: [] for count in steps} for name in engines}
    for count in steps:
        for _ in range(repeat):
            for name, engine in engines.items():
                runs[name][count].append(utter(engine, text, count))
                note(f'{name}: {count} steps of {text[:20]!r}: {runs[name][count][-1].total:.3f} s')
    return {name: {count: sorted(timings, key=lambda timing: timing.total)[len(timings) // 2]
                   for count, timings in by_steps.items()} for name, by_steps in runs.items()}


def utter(engine: Any, text: str, nfe_step: int) -> Timing:
    """Speak once, with the clock running. Emitted samples are on the host, so the device has finished."""
    emitted: list[tuple[float, int]] = []
    start = time.perf_counter()
    engine.synthesize(text, SynthesisSettings(nfe_step=nfe_step),
                      lambda samples: emitted.append((time.perf_counter() - start, len(samples))), lambda: False)
    return Timing(time.perf_counter() - start, emitted[0][0], sum(count for _, count in emitted) / SAMPLE_RATE)


def results(name: str, speech: str, arguments: argparse.Namespace, timings: dict[int, Timing], arch: Any,
            gemm: float) -> list[Result]:
    """Results for each of --nfe; what was not timed is put on the line through what was."""
    counts = sorted(timings)
    low, high = counts[0], counts[-1]
    step = (timings[high].total - timings[low].total) / (high - low) if high > low else timings[low].total / low
    frames = round((arguments.reference + timings[low].audio) * FRAME_RATE)
    floor = 2 * arch.flops_per_pass(frames) / gemm
    made = []
    for nfe_step in arguments.nfe:
        timed = timings.get(nfe_step)
        total = timed.total if timed else timings[low].total + (nfe_step - low) * step
        first = timed.first_audio if timed else timings[low].first_audio + (nfe_step - low) * step
        audio = timings[low].audio
        made.append(Result(name, speech, nfe_step, audio, total, first, step, total / audio, floor / step, timed is None))
    return made


def ratios(all_results: list[Result]) -> list[dict[str, Any]]:
    """How many times faster f5 is: at equal NFE, and against f5-tts's default of 32 steps."""
    times = {(result.engine, result.speech, result.nfe_step): result for result in all_results}
    rows = []
    for (engine, speech, nfe_step), result in times.items():
        equal = times.get(('f5_upstream', speech, nfe_step))
        default = times.get(('f5_upstream', speech, DEFAULT_NFE))
        if engine == 'f5' and equal:
            rows.append({'speech': speech, 'nfe_step': nfe_step, 'equal_nfe': equal.total / result.total,
                         'against_default': default.total / result.total if default else None,
                         'scaled': result.scaled})
    return rows


# The machine


def gemm_rate(dtype: str, device: Any, seconds: float = 1.0) -> float:
    """What this machine reaches on the largest matrix product of a step, both rows of guidance [TFLOP/s]."""
    import torch

    a = torch.randn(2560, 1024, device=device).to(getattr(torch, dtype))
    b = torch.randn(3072, 1024, device=device).to(getattr(torch, dtype))
    rates = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        repeat = 1 if device.type == 'cpu' else 100
        synchronize(device)
        start = time.perf_counter()
        for _ in range(repeat):
            torch.nn.functional.linear(a, b)
        synchronize(device)
        rates.append(repeat * 2 * a.shape[0] * a.shape[1] * b.shape[0] / (time.perf_counter() - start) / 1e12)
    return statistics.median(rates)


def synchronize(device: Any) -> None:
    import torch

    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def peak_memory(device: Any) -> float:
    """Highest so far [GiB]: of the GPU, or of this process on a CPU, where it counts all engines together."""
    import torch

    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def machine(device: Any) -> dict[str, Any]:
    import torch

    named = torch.cuda.get_device_name(device) if device.type == 'cuda' else cpu_name()
    return {'device': str(device), 'name': named, 'threads': torch.get_num_threads(), 'cores': os.cpu_count(),
            'load': os.getloadavg()[0], 'torch': torch.__version__, 'python': platform.python_version()}


def cpu_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.machine())


# The report


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_report(report: Report) -> None:
    about = report.machine
    print(f"{about['name']}, {about['threads']} threads, torch {about['torch']}, load {about['load']:.1f}")
    print(f'weights: {report.weights}; reference {report.reference:g} s')
    print('matrix products: ' + ', '.join(f'{dtype} {rate:.3g} TFLOP/s' for dtype, rate in report.gemm_tflops.items()))
    for name, facts in report.engines.items():
        print(f'{name}: ' + ', '.join(f'{key} {value:.3g}' if isinstance(value, float) else f'{key} {value}'
                                      for key, value in facts.items()))
    print(f"{'engine':12} {'speech':13} {'audio s':>8} {'NFE':>4} {'step s':>9} {'total s':>9} {'first s':>9} "
          f"{'RTF':>8} {'of floor':>8}")
    for result in report.results:
        print(f'{result.engine:12} {result.speech:13} {result.audio:8.2f} {result.nfe_step:4} {result.step:9.4f} '
              f'{result.total:9.3f} {result.first_audio_latency:9.3f} {result.rtf:8.4f} {result.floor:8.0%}'
              f"{'  scaled from fewer steps' if result.scaled else ''}")
    for row in report.ratios:
        default = f"; {row['against_default']:.2f} x against NFE {DEFAULT_NFE}" if row['against_default'] else ''
        print(f"{row['speech']}, NFE {row['nfe_step']}: f5 is {row['equal_nfe']:.2f} x as fast at equal NFE{default}"
              f"{' (scaled from fewer steps)' if row['scaled'] else ''}")


def plot(report: Report, path: str) -> None:
    """RTF by NFE for each engine, one panel for each length."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    speeches = list(dict.fromkeys(result.speech for result in report.results))
    figure, panels = pyplot.subplots(1, len(speeches), figsize=(4.5 * len(speeches), 4), squeeze=False)
    for panel, speech in zip(panels[0], speeches):
        for name in report.engines:
            points = [(result.nfe_step, result.rtf) for result in report.results
                      if (result.engine, result.speech) == (name, speech)]
            panel.plot(*zip(*points), marker='o', label=name)
        panel.axhline(1.0, color='gray', linestyle=':', linewidth=1)
        panel.set(title=speech, xlabel='NFE [steps]', ylabel='real-time factor', yscale='log')
        panel.legend()
    scaled = ', scaled from fewer steps' if any(result.scaled for result in report.results) else ''
    figure.suptitle(f"{report.machine['name']}, {report.weights}{scaled}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == '__main__':
    sys.exit(main())
