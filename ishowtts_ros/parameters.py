"""THE table of the node's parameters, and what is made of their values."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
import difflib
from typing import Any, Iterable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from .core.admission import AdmissionRules, OVERFLOW
from .core.failover import Failover
from .core.pacer import Pacing, PACINGS
from .core.synthesizer import Limits
from .core.types import ErrorCode, NFE_STEP_RANGE, SPEED_RANGE, SpeechError, SynthesisSettings
from .engines.registry import ENGINES

NEXT_REQUEST = 'next request'
NEXT_UTTERANCE = 'next utterance'     # a change is heard from the next utterance to start
CONFIGURE = 'configure'               # fixed while the node is configured
START = 'start'                       # fixed while the process runs


@dataclass(frozen=True)
class Parameter:
    name: str
    default: Any
    effect: str                                    # when a change takes effect
    description: str
    range: tuple[float, float] | None = None       # both ends allowed
    choices: tuple[str, ...] = ()
    items: type = float                            # of a list


PARAMETERS = (
    Parameter('autostart', True, START, 'Configure and activate at start; false leaves that to a lifecycle manager.'),
    Parameter('engine', 'espeak', CONFIGURE, 'What speaks.', choices=tuple(sorted(ENGINES))),
    Parameter('fallback_engine', '', CONFIGURE, 'What speaks when the engine cannot be loaded or fails three times in a row, '
              "until it can be loaded again; '' is none.", choices=('', *sorted(ENGINES))),
    Parameter('voice', '', NEXT_UTTERANCE, "Voice name as in ~/list_voices; '' is the engine's default voice."),
    Parameter('language', '', NEXT_UTTERANCE, "BCP 47 tag such as 'en' or 'fr'; '' is the voice's own language. "
              'For f5: the language that numbers are read in.'),
    Parameter('speed', 1.0, NEXT_UTTERANCE, "Speaking rate relative to the voice's natural one [ratio].", SPEED_RANGE),
    Parameter('nfe_step', 7, NEXT_UTTERANCE, 'Solver steps: fewer are faster, more are finer [count]. '
              'Ignored by espeak.', NFE_STEP_RANGE),
    Parameter('cfg_strength', 2.0, NEXT_UTTERANCE, 'Classifier-free guidance; 0 turns it off [ratio]. '
              'Ignored by espeak.', (0.0, 10.0)),
    Parameter('sway_sampling_coef', -1.0, NEXT_UTTERANCE, 'Sway sampling of the solver steps; 0 is uniform [ratio]. '
              'Ignored by espeak.', (-1.0, 2.0)),
    Parameter('seed', -1, NEXT_UTTERANCE, 'Noise seed; -1 draws a new one for every utterance. Ignored by espeak.',
              (-1, 2**31 - 1)),
    Parameter('pacing', 'realtime', NEXT_UTTERANCE, 'Publish audio at the pace of speech, or in a burst as fast as it is '
              'made (for bags and files).', choices=PACINGS),
    Parameter('audio_lead', 0.3, NEXT_UTTERANCE, 'With pacing realtime: how far audio may be ahead of what sounds [s].',
              (0.02, 10.0)),
    Parameter('queue_depth', 32, CONFIGURE, 'Utterances that may wait [count]; see overflow.', (1, 10_000)),
    Parameter('overflow', 'reject', NEXT_REQUEST, 'What a full queue does: reject the newcomer, or drop the oldest or '
              'newest of the lowest priority that waits (a newcomer of a still lower priority is rejected).',
              choices=OVERFLOW),
    Parameter('max_age', 0.0, NEXT_REQUEST, 'What has waited for longer is canceled; 0 is never [s].', (0.0, 86_400.0)),
    Parameter('dedupe_window', 0.0, NEXT_REQUEST, 'The same text by the same voice is accepted once in this time; '
              '0 is off [s].', (0.0, 86_400.0)),
    Parameter('rate_limit', 0.0, NEXT_REQUEST, "Utterances accepted in the long run, of which a second's worth may "
              'come at once; 0 is no limit [utterances/s].', (0.0, 1000.0)),
    Parameter('max_text_length', 10_000, CONFIGURE, 'Longest text of one utterance [characters].', (1, 1_000_000)),
    Parameter('voices_file', '', CONFIGURE, "YAML file of cloned voices, see config/voices.yaml; '' is none."),
    Parameter('voice_folders', [], START, 'Folders whose recordings ~/add_voice may use, with all below them; ~ is the home '
              'directory. Empty allows none.', items=str),
    Parameter('frame_id', '', START, 'frame_id in the headers of what is published.'),
    Parameter('espeak.library', '', CONFIGURE, "Path of libespeak-ng; '' finds the installed one."),
    Parameter('espeak.data_path', '', CONFIGURE, "Path of espeak-ng-data; '' is the library's own."),
    Parameter('espeak.voice', 'en-us', CONFIGURE, 'Voice for utterances that name neither voice nor language.'),
    Parameter('f5.model', 'F5TTS_v1_Base', CONFIGURE, "Architecture: a name, or the path of upstream's model .yaml."),
    Parameter('f5.checkpoint', '', CONFIGURE, ".safetensors or .pt file; '' is the Hugging Face cache, else a download."),
    Parameter('f5.vocab', '', CONFIGURE, "vocab.txt; '' is the one beside the checkpoint, else as above."),
    Parameter('f5.vocoder', '', CONFIGURE, "Folder with config.yaml and pytorch_model.bin of Vocos; '' as above."),
    Parameter('f5.device', 'auto', CONFIGURE, 'auto, cpu, cuda or cuda:<n>.'),
    Parameter('f5.dtype', 'auto', CONFIGURE, 'Precision of the model: auto is float16 on CUDA, and on a CPU bfloat16 where it '
              'has instructions for it. int8, for CPUs that have not, is faster and not equal to f5-tts.',
              choices=('auto', 'float16', 'bfloat16', 'float32', 'int8')),
    Parameter('f5.vocoder_dtype', 'float32', CONFIGURE, 'Precision of the vocoder.',
              choices=('auto', 'float16', 'bfloat16', 'float32')),
    Parameter('f5.threads', 0, CONFIGURE, "CPU threads [count]; 0 is torch's own choice.", (0, 1024)),
    Parameter('f5.compile', 'none', CONFIGURE, 'Mode of torch.compile.',
              choices=('none', 'default', 'reduce-overhead', 'max-autotune')),
    Parameter('f5.compile_dynamic', True, CONFIGURE, 'One compilation for all lengths; false is one for each bucket.'),
    Parameter('f5.cuda_graphs', True, CONFIGURE, 'Replay one captured CUDA graph per solver step and bucket.'),
    Parameter('f5.graph_memory_limit', 4.0, CONFIGURE, 'GPU memory that captured graphs may hold [GiB].', (0.0, 1024.0)),
    Parameter('f5.padding', 'auto', CONFIGURE, 'Pad to a length bucket; auto is where graphs or compilation need it.',
              choices=('auto', 'on', 'off')),
    Parameter('f5.buckets', [4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 30.0], CONFIGURE,
              'Lengths of reference and speech together to prepare for [s]; longer ones run without graphs.'),
    Parameter('f5.max_batch', 1, CONFIGURE, 'Chunks and waiting utterances synthesized in one pass at most [count].', (1, 64)),
    Parameter('f5.batching', 'auto', CONFIGURE, 'Put several into one pass always, or only where warm-up finds that it '
              'saves a tenth of the time.', choices=('auto', 'always')),
    Parameter('f5.normalize_text', True, CONFIGURE, 'Read numbers, units, times, abbreviations and addresses as words.'),
    Parameter('f5.streaming', False, CONFIGURE, 'A short first chunk: heard sooner, with another melody than in one piece.'),
    Parameter('f5.first_chunk', 40, CONFIGURE, 'Length of that first chunk at most [UTF-8 bytes].', (10, 1000)),
    Parameter('f5.cross_fade', 0.15, CONFIGURE, 'Cross-fade between chunks [s].', (0.0, 2.0)),
    Parameter('f5.prompt_cache', 16, CONFIGURE, 'Voices kept ready [count].', (1, 10_000)),
    Parameter('f5_upstream.model', 'F5TTS_v1_Base', CONFIGURE, 'As f5.model.'),
    Parameter('f5_upstream.checkpoint', '', CONFIGURE, 'As f5.checkpoint.'),
    Parameter('f5_upstream.vocab', '', CONFIGURE, 'As f5.vocab.'),
    Parameter('f5_upstream.vocoder', '', CONFIGURE, 'As f5.vocoder.'),
    Parameter('f5_upstream.device', 'auto', CONFIGURE, 'As f5.device.'),
    Parameter('f5_upstream.normalize_text', True, CONFIGURE, 'As f5.normalize_text.'),
    Parameter('tone.sample_rate', 24000, CONFIGURE, 'Sample rate of the test tone [Hz].', (8000, 48000)),
    Parameter('tone.chunk', 0.1, CONFIGURE, 'How much audio the test engine hands over at a time [s].', (0.01, 10.0)),
    Parameter('tone.real_time_factor', 0.0, CONFIGURE, 'How slow the test engine is: work per audio [ratio].', (0.0, 10.0)),
    Parameter('tone.load_time', 0.0, CONFIGURE, 'How long the test engine loads [s].', (0.0, 600.0)),
    Parameter('tone.fail_on', '', CONFIGURE, 'A text that contains this makes the test engine fail.'),
)
TABLE = {parameter.name: parameter for parameter in PARAMETERS}


def declare(node: Node) -> list[str]:
    """Declare all parameters. Returns what was wrong with values given at start; those keep their defaults."""
    problems = []
    for parameter in PARAMETERS:
        descriptor = _descriptor(parameter)
        try:
            value = node.declare_parameter(parameter.name, parameter.default, descriptor).value
            if not _mismatch(parameter, value):
                continue
            node.undeclare_parameter(parameter.name)
        except InvalidParameterValueException:     # out of the descriptor's range
            value = node._parameter_overrides[parameter.name].value
        if not (value is None and parameter.default == []):     # a list without items arrives as nothing at all
            problems.append(f'parameter {parameter.name} cannot be {value!r}: {requirement(parameter)}')
        node.declare_parameter(parameter.name, parameter.default, descriptor, ignore_override=True)
    return problems


def unknown(node: Node) -> str:
    """Which parameters were given at start that the node does not have, and what was probably meant; '' if none.

    ROS ignores them without a word. To be asked once the node has declared all of its own.
    """
    strange = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    meant = {name: difflib.get_close_matches(name, node._parameters, n=1) for name in strange[:10]}
    names = [f"{name} (did you mean {near[0]}?)" if near else name for name, near in meant.items()]
    rest = [f'{len(strange) - 10} more'] if len(strange) > 10 else []
    return ', '.join(names + rest)


def refuse(changes: Iterable[RosParameter], engine: Failover | None, configured: bool) -> SetParametersResult:
    """May these values be set? Changes nothing.

    :param engine: the loaded engine, which knows the voices; None before it is loaded
    """
    for change in changes:
        parameter = TABLE.get(change.name)
        if parameter is None:
            continue
        reason = _objection(parameter, change.value, engine, configured)
        if reason:
            return SetParametersResult(successful=False, reason=f'parameter {change.name}: {reason}')
    return SetParametersResult(successful=True)


def requirement(parameter: Parameter) -> str:
    """What a valid value is, for people."""
    kind = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'a string',
            list: f"a list of {'strings' if parameter.items is str else 'numbers'}"}
    text = kind[type(parameter.default)]
    if parameter.range:
        text += f' from {parameter.range[0]} to {parameter.range[1]}'
    if parameter.choices:
        text = 'one of ' + ', '.join(choice or "''" for choice in parameter.choices)
    return f'it must be {text}'


def value(node: Node, name: str) -> Any:
    """A parameter's value, of its default's type: whole numbers may stand for floating-point ones."""
    return type(TABLE[name].default)(node.get_parameter(name).value)


def synthesis_settings(node: Node) -> SynthesisSettings:
    """A snapshot of how to speak."""
    return SynthesisSettings(**{name: value(node, name) for name in SynthesisSettings.__dataclass_fields__})


def limits(node: Node) -> Limits:
    return Limits(**{name: value(node, name) for name in Limits.__dataclass_fields__})


def pacing(node: Node) -> Pacing:
    return Pacing(**{name: value(node, name) for name in Pacing.__dataclass_fields__})


def admission_rules(node: Node) -> AdmissionRules:
    return AdmissionRules(**{name: value(node, name) for name in AdmissionRules.__dataclass_fields__})


def engine_options(node: Node, engine: str) -> dict[str, Any]:
    """The load-time options of one engine: its parameters without their prefix."""
    prefix = f'{engine}.'
    return {name[len(prefix):]: value(node, name) for name in TABLE if name.startswith(prefix)}


def check_voice_now(node: Node, engine: Failover) -> None:
    """:raises SpeechError: the `voice` parameter names none of the engine's voices"""
    voice = node.get_parameter('voice').value
    if voice:
        try:
            engine.check_voice(voice)
        except SpeechError as error:
            raise SpeechError(ErrorCode.UNKNOWN_VOICE, f'parameter voice: {error}') from None


def markdown() -> str:
    """The table as docs/parameters.md."""
    lines = ['# Parameters', '',
             'Made from the table in `ishowtts_ros/parameters.py` by `python3 -m ishowtts_ros.parameters`.', '',
             '| name | default | valid | takes effect | meaning |', '|---|---|---|---|---|']
    for parameter in PARAMETERS:
        valid = requirement(parameter).removeprefix('it must be ')
        lines.append(f'| `{parameter.name}` | `{parameter.default!r}` | {valid} | {parameter.effect} | {parameter.description} |')
    return '\n'.join(lines) + '\n'


def _objection(parameter: Parameter, wanted: Any, engine: Failover | None, configured: bool) -> str:
    """Why a parameter cannot be set to `wanted` now; '' if it can."""
    if _mismatch(parameter, wanted):
        return f'it cannot be {wanted!r}; {requirement(parameter)}'
    if parameter.effect == START:
        return 'it is fixed while the node runs; set it at launch'
    if parameter.effect == CONFIGURE and configured:
        return 'it is fixed while the node is configured; first: ros2 lifecycle set <node> cleanup'
    if parameter.name == 'voice' and wanted and engine:
        try:
            engine.check_voice(wanted)
        except SpeechError as error:
            return str(error)
    return ''


def _mismatch(parameter: Parameter, wanted: Any) -> bool:
    """Is this no value for the parameter, whatever the node is doing?"""
    if isinstance(parameter.default, list):     # rclpy hands lists of numbers out as arrays
        kinds = (str,) if parameter.items is str else (int, float)
        fits = isinstance(wanted, (list, array)) and all(type(item) in kinds for item in wanted)
    else:
        fits = type(wanted) is type(parameter.default) or (type(wanted) is int and isinstance(parameter.default, float))
    if fits and parameter.range:    # rclpy does not apply a floating-point range to whole numbers
        low, high = parameter.range
        fits = low <= wanted <= high
    return not fits or bool(parameter.choices) and wanted not in parameter.choices


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    # Dynamic typing, because `speed: 2` is meant well and rclpy's refusals name types by number.
    descriptor = ParameterDescriptor(
        dynamic_typing=True,
        description=f'{parameter.description} Takes effect: {parameter.effect}.',
        additional_constraints=', '.join(parameter.choices))
    if parameter.range and isinstance(parameter.default, int):
        descriptor.integer_range = [IntegerRange(from_value=parameter.range[0], to_value=parameter.range[1], step=1)]
    elif parameter.range:
        low, high = map(float, parameter.range)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


if __name__ == '__main__':
    print(markdown(), end='')
