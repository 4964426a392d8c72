"""The command `ishowtts`: speech without ROS, and the benchmarks."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
import importlib
import sys
import time
from typing import Iterator, Sequence

import numpy as np
import yaml

from . import voices_file
from .core import audio, text
from .core.engine import Engine
from .core.synthesizer import check_range
from .core.types import NFE_STEP_RANGE, SPEED_RANGE, SpeechError, SynthesisSettings
from .engines import registry

MAX_TEXT_LENGTH = 1_000_000     # characters; a person at a prompt may be as long-winded as they like

# name: (module with main(argv), what it measures)
BENCHMARKS: dict[str, tuple[str, str]] = {
    'rtf': ('rtf', 'f5 against f5-tts and against the arithmetic floor (needs the extra f5, upstream)'),
    'interrupt': ('ros_interrupt', 'time from an interruption to silence, over DDS (needs the built ROS package)'),
    'latency': ('ros_latency', 'first-audio latency and RTF over DDS (needs the built ROS package)'),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 refused with a reason, 2 wrong usage, 130 Ctrl-C."""
    arguments, rest = _parser().parse_known_args(argv)
    if arguments.command != 'bench' and rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return arguments.run(arguments, rest)
    except SpeechError as error:
        print(f'ishowtts: {error} [{error.code}]', file=sys.stderr)
        return 1
    except OSError as error:
        print(f'ishowtts: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _say(arguments: argparse.Namespace, _rest: list[str]) -> int:
    spoken = text.clean(arguments.text if arguments.text != '-' else sys.stdin.read(), MAX_TEXT_LENGTH)
    pieces: list[np.ndarray] = []
    settings = SynthesisSettings(voice=arguments.voice, language=arguments.language, speed=arguments.speed,
                                 nfe_step=arguments.nfe_step, seed=arguments.seed)
    check_range('speed', arguments.speed, SPEED_RANGE)
    check_range('nfe_step', arguments.nfe_step, NFE_STEP_RANGE)
    with _loaded_engine(arguments) as engine:
        started = time.monotonic()
        engine.synthesize(spoken, settings, pieces.append, lambda: False)
        work = time.monotonic() - started
        samples = np.concatenate(pieces or [np.zeros(0, np.int16)])
        audio.write_wav(arguments.output, samples, engine.sample_rate)
        duration = len(samples) / engine.sample_rate
        print(f'{arguments.output}: {duration:.2f} s, {engine.sample_rate} Hz, '
              f'voice {arguments.voice or engine.voice_for(arguments.language)}, RTF {work / max(duration, 1e-9):.4f}')
    return 0


def _voices(arguments: argparse.Namespace, _rest: list[str]) -> int:
    with _loaded_engine(arguments) as engine:
        print('\n'.join(engine.voices()))
        variants = getattr(engine, 'variants', list)()
        if variants:
            print('\nvariants, to be added with + (such as en-us+f3): ' + ' '.join(variants))
    return 0


def _bench(arguments: argparse.Namespace, rest: list[str]) -> int:
    module = importlib.import_module(f'.bench.{BENCHMARKS[arguments.benchmark][0]}', __package__)
    return module.main(rest) or 0


@contextmanager
def _loaded_engine(arguments: argparse.Namespace) -> Iterator[Engine]:
    engine = registry.create(arguments.engine, dict(arguments.option), voices_file.load(arguments.voices_file))
    engine.load(lambda done, doing: None)
    try:
        yield engine
    finally:
        engine.close()


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition('=')
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, yaml.safe_load(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='ishowtts', description='A voice for robots, without ROS.')
    commands = parser.add_subparsers(dest='command', required=True)

    engine = argparse.ArgumentParser(add_help=False)
    engine.add_argument('--engine', default='espeak', choices=sorted(registry.ENGINES))
    engine.add_argument('--option', action='append', type=_option, default=[], metavar='NAME=VALUE',
                        help='load-time option of the engine')
    engine.add_argument('--voices-file', default='', help='YAML file of cloned voices')

    say = commands.add_parser('say', parents=[engine], help='speak a text into a WAV file')
    say.add_argument('text', help="what to say; '-' reads it from standard input")
    say.add_argument('-o', '--output', default='speech.wav')
    say.add_argument('--voice', default='')
    say.add_argument('--language', default='')
    say.add_argument('--speed', type=float, default=1.0, help='ratio to the natural rate')
    say.add_argument('--nfe-step', type=int, default=7, help='solver steps')
    say.add_argument('--seed', type=int, default=-1)
    say.set_defaults(run=_say)

    voices = commands.add_parser('voices', parents=[engine], help='list the voices of an engine')
    voices.set_defaults(run=_voices)

    bench = commands.add_parser('bench', help='measure', formatter_class=argparse.RawDescriptionHelpFormatter, epilog='\n'.join(
        f'{name}: {what}' for name, (_, what) in BENCHMARKS.items()))
    bench.add_argument('benchmark', choices=sorted(BENCHMARKS))
    bench.set_defaults(run=_bench)
    return parser


if __name__ == '__main__':
    sys.exit(main())
