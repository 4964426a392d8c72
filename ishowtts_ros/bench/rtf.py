"""How fast the f5 engine is: against f5-tts as shipped, and against what the arithmetic allows.

The physics. One pass of F5TTS_v1_Base's transformer over N mel frames (93.75 per second, reference included) takes
N * (378.9 MFLOP + 90,112 * N FLOP): the first part is matrix products and convolutions, the second attention, which
overtakes it only after 45 s. Classifier-free guidance doubles a pass, and each of the nfe_step solver steps is one.
For 5.33 s of reference and 8.37 s of speech that is N = 1,284 and 1.27 TFLOP per step, 8.9 TFLOP at NFE 7 and 41 at 32.
The vocoder adds less than a hundredth. So the time of an utterance is nearly nfe_step times that of a step, a step
cannot be faster than its arithmetic at the rate this machine multiplies matrices, and what remains above that
floor is memory traffic, kernel launches and work that need not be repeated in every step. The floor is
counted for the work as f5-tts does it; an engine that hoists constant parts out of the step comes nearer.

Everything goes through Engine.synthesize, in one process, warm: from text to 16-bit samples. Engines take turns in rounds,
and of each the best round counts: other work on the machine only ever adds time, and a ratio of two bests means
something where single timings do not. Beside a ratio stand the lowest and the highest of single rounds.
Where all the steps asked for would take longer than --limit, each round times PROBE_STEPS of them, and what more steps
take is scaled from that and labelled so. f5_int8 is f5 with 8-bit products (CPU only, not equal to f5-tts); its floor
counts attention as if that ran in 8 bits too, which it does not.
Weights are random unless --checkpoint and --vocoder are given: speed does not depend on their values, the sound does.
The last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, fields
import json
import math
from pathlib import Path
import sys
import tempfile
import time
from typing import Any, Dict, List, Sequence, Tuple

from ..core.types import SynthesisSettings
from ..core.voices import Voice, VoiceRegistry
from ..engines import registry
from ..engines.f5.config import FRAME_RATE, SAMPLE_RATE, F5Config, architecture
from .machine import describe, gemm_rate, peak_memory

ENGINES = ('f5', 'f5_int8', 'f5_upstream')
DEFAULT_NFE = 32                    # of f5-tts
SENTENCE = 'Hello, I am the voice of your robot.'
PROBE_STEPS = 2                     # of each run where all steps would take too long: one step from start to start
ONE_CHUNK = 22.0                    # s of reference and speech that f5-tts makes in one go
MIN_ROUNDS = 2                      # the first one may still be cold


@dataclass(frozen=True)
class Timing:
    """One utterance, from the call of synthesize. Seconds."""

    total: float
    first_audio: float
    audio: float
    step: float                     # the shortest, from the start of one step to that of the next; inf for a single step

    def taking(self, more_steps: int) -> float:
        """Seconds that so many more steps would take."""
        return self.total + more_steps * self.step if more_steps else self.total


Runs = Dict[Tuple[str, str, int], List[Timing]]     # engine, speech, nfe_step -> one timing for each round


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
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=['f5', 'f5_upstream'])
    parser.add_argument('--model', default='F5TTS_v1_Base', help='architecture, a name or a model .yaml')
    parser.add_argument('--checkpoint', default='', help='real weights instead of random ones')
    parser.add_argument('--vocab', default='', help='vocab.txt of --checkpoint')
    parser.add_argument('--vocoder', default='', help='folder of a real vocoder instead of a random one')
    parser.add_argument('--option', action='append', default=[], metavar='NAME=VALUE', help='of f5 and f5_int8')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:<n>')
    parser.add_argument('--threads', type=int, default=0, help="CPU threads; 0 = torch's own choice")
    parser.add_argument('--nfe', nargs='+', type=int, default=[7, 8, 16, 32])
    parser.add_argument('--speech', nargs='+', type=float, default=[3.0, 8.37], help='lengths to speak [s]')
    parser.add_argument('--reference', type=float, default=5.33, help='length of the reference [s]')
    parser.add_argument('--repeat', type=int, default=3, help='rounds, of which the best counts')
    parser.add_argument('--limit', type=float, default=600.0, help='time fewer steps where this would take longer, loading included [s]')
    parser.add_argument('--plot', default='', metavar='FILE.png')
    arguments = parser.parse_args(argv)
    if max(arguments.speech) + arguments.reference > ONE_CHUNK:
        parser.error(f'--speech and --reference may last {ONE_CHUNK:g} s together: longer texts are said in several chunks')
    return arguments


def run(arguments: argparse.Namespace, folder: Path) -> Report:
    from .f5_material import reference_voice, text_for

    deadline = time.perf_counter() + arguments.limit
    files, weights = weight_files(arguments, folder)
    voice = reference_voice(folder, arguments.reference)
    engines, about = {}, {}
    for name in arguments.engines:
        options = {**files, 'device': arguments.device}
        if name != 'f5_upstream':
            options.update(f5_options(arguments.option))
        if name == 'f5_int8':
            options.update(dtype='int8')
        engines[name], about[name] = load(name, options, voice)
    device = next(iter(engines.values())).device
    texts = {f'{seconds:g} s': text_for(seconds, arguments.reference) for seconds in arguments.speech}
    texts['one sentence'] = SENTENCE
    runs, gemm = time_engines(engines, texts, arguments, deadline)
    report = Report(describe(device), weights, arguments.reference, about, gemm)
    arch = architecture(arguments.model)
    for speech in texts:
        for name, engine in engines.items():
            report.results += results(name, speech, arguments, runs, arch, gemm[engine.dtype] * 1e12)
    report.ratios = ratios(report.results, runs)
    for name, engine in engines.items():
        about[name].update(dtype=engine.dtype, peak_memory_gib=peak_memory(device), **getattr(engine, 'counters', {}))
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
    engine = registry.create('f5_upstream' if name == 'f5_upstream' else 'f5', options, VoiceRegistry([voice]))
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


def time_engines(engines: dict[str, Any], texts: dict[str, str], arguments: argparse.Namespace,
                 deadline: float) -> tuple[Runs, dict[str, float]]:
    """Rounds of all engines and texts, and the best rate of matrix products between them [TFLOP/s], by dtype."""
    runs: Runs = defaultdict(list)
    gemm = {engine.dtype: 0.0 for engine in engines.values()}

    def time_round(steps: Sequence[int]) -> None:
        for speech, text in texts.items():
            for count in steps:
                for name, engine in engines.items():
                    runs[name, speech, count].append(utter(engine, text, count))
                    note(f'{name}: {count} steps of {speech}: {runs[name, speech, count][-1].total:.3f} s')
        for dtype in gemm:
            gemm[dtype] = max(gemm[dtype], gemm_rate(dtype, engine.device))

    start = time.perf_counter()
    time_round([PROBE_STEPS])
    duration = time.perf_counter() - start
    expected = duration / PROBE_STEPS * sum(arguments.nfe) * arguments.repeat
    left = deadline - time.perf_counter()
    note(f'all steps would take about {expected:.0f} s, {left:.0f} s are left')
    if expected <= left:
        runs.clear()
        for _ in range(arguments.repeat):
            time_round(arguments.nfe)
        return runs, gemm
    rounds = 1
    while rounds < MIN_ROUNDS or time.perf_counter() + duration < deadline:
        time_round([PROBE_STEPS])
        rounds += 1
    return runs, gemm


def utter(engine: Any, text: str, nfe_step: int) -> Timing:
    """Speak once, with the clock running. Emitted samples are on the host, so the device has finished."""
    emitted: list[tuple[float, int]] = []
    with StepClock(engine) as clock:
        start = time.perf_counter()
        engine.synthesize(text, SynthesisSettings(nfe_step=nfe_step),
                          lambda samples: emitted.append((time.perf_counter() - start, len(samples))), clock.canceled)
        total = time.perf_counter() - start
    # on a GPU the clock sees when steps are launched; they take no longer than this
    step = clock.shortest(nfe_step) if engine.device.type == 'cpu' else total / nfe_step
    return Timing(total, emitted[0][0], sum(count for _, count in emitted) / SAMPLE_RATE, step)


class StepClock:
    """Notes when solver steps start: f5 asks `canceled` before each, and then once more before it emits; f5-tts calls
    its transformer in each.
    """

    def __init__(self, engine: Any):
        self._starts: list[float] = []
        self._transformer = getattr(engine, 'transformer', None)

    def __enter__(self) -> StepClock:
        self._hook = self._transformer and self._transformer.register_forward_pre_hook(lambda *called: self._note())
        return self

    def __exit__(self, *error: Any) -> None:
        if self._hook:
            self._hook.remove()

    def canceled(self) -> bool:
        """For Engine.synthesize: never."""
        if not self._transformer:
            self._note()
        return False

    def shortest(self, nfe_step: int) -> float:
        """Seconds; infinite where there was only one step. Old f5-tts calls its transformer twice in a step."""
        starts = self._starts[::max(1, len(self._starts) // nfe_step)] if self._transformer else self._starts[-nfe_step - 1:-1]
        return min((later - earlier for earlier, later in zip(starts, starts[1:])), default=math.inf)

    def _note(self) -> None:
        self._starts.append(time.perf_counter())


def results(name: str, speech: str, arguments: argparse.Namespace, runs: Runs, arch: Any, gemm: float) -> list[Result]:
    """Results for each of --nfe, of the best rounds; what was not timed has further steps added to what was."""
    best = {count: Timing(*(min(getattr(timing, field.name) for timing in timings) for field in fields(Timing)))
            for (engine, text, count), timings in runs.items() if (engine, text) == (name, speech)}
    low, high = min(best), max(best)
    # between runs of different length, where there are some: the host runs ahead of a GPU's steps, but waits for samples
    step = (best[high].total - best[low].total) / (high - low) if high > low else best[low].step
    if step == math.inf:
        step = best[low].total
    audio = best[low].audio
    floor = 2 * arch.flops_per_pass(round((arguments.reference + audio) * FRAME_RATE)) / gemm
    made = []
    for nfe_step in arguments.nfe:
        timed = best.get(nfe_step, best[low])
        missing = 0 if nfe_step in best else nfe_step - low
        total, first = (seconds + missing * step for seconds in (timed.total, timed.first_audio))
        made.append(Result(name, speech, nfe_step, audio, total, first, step, total / audio, floor / step,
                           nfe_step not in best))
    return made


def ratios(all_results: list[Result], runs: Runs) -> list[dict[str, Any]]:
    """How many times faster f5 is: at equal NFE, and against f5-tts's default of 32 steps."""
    times = {(result.engine, result.speech, result.nfe_step): result for result in all_results}
    rows = []
    for (engine, speech, nfe_step), result in times.items():
        equal = times.get(('f5_upstream', speech, nfe_step))
        default = times.get(('f5_upstream', speech, DEFAULT_NFE))
        if engine == 'f5_upstream' or not equal:
            continue
        timed = PROBE_STEPS if result.scaled else nfe_step
        in_rounds = [theirs.taking(nfe_step - timed) / ours.taking(nfe_step - timed)
                     for theirs, ours in zip(runs['f5_upstream', speech, timed], runs[engine, speech, timed])]
        rows.append({'engine': engine, 'speech': speech, 'nfe_step': nfe_step, 'equal_nfe': equal.total / result.total,
                     'lowest_round': min(in_rounds), 'highest_round': max(in_rounds), 'rounds': len(in_rounds),
                     'against_default': default.total / result.total if default else None, 'scaled': result.scaled})
    return rows


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
              f"{f'  scaled from {PROBE_STEPS} steps' if result.scaled else ''}")
    if report.ratios:
        print(f"{'times as fast':12} {'speech':13} {'NFE':>4} {'as f5-tts at equal NFE':>23} {'in single rounds':>17} "
              f"{f'as f5-tts at NFE {DEFAULT_NFE}':>22}")
    for row in report.ratios:
        default = f"{row['against_default']:22.2f}" if row['against_default'] else ''
        spread = f"{row['lowest_round']:.2f} to {row['highest_round']:.2f}"
        print(f"{row['engine']:13} {row['speech']:13} {row['nfe_step']:4} {row['equal_nfe']:23.2f} {spread:>17} {default:22}"
              f"{f'  scaled from {PROBE_STEPS} steps' if row['scaled'] else ''}")
    if report.ratios:
        print(f"the best of {report.ratios[0]['rounds']} rounds of each engine counts")


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
    scaled = f', scaled from {PROBE_STEPS} steps' if any(result.scaled for result in report.results) else ''
    figure.suptitle(f"{report.machine['name']}, {report.weights}{scaled}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == '__main__':
    sys.exit(main())
