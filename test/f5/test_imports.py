"""f5 imports nothing that makes a robot wait, and no torchaudio, which does not fit every torch."""

import json
import subprocess
import sys

import pytest

SLOW = {'f5_tts', 'gradio', 'transformers', 'wandb', 'datasets', 'accelerate', 'bitsandbytes', 'hydra', 'librosa',
        'torch._dynamo', 'sympy', 'torchaudio', 'vocos', 'encodec', 'scipy', 'pydub', 'matplotlib', 'x_transformers', 'torchdiffeq', 'rclpy'}

LOAD = '''
import json, sys, time
start = time.monotonic()
import torch
torch_seconds = time.monotonic() - start
from ishowtts_ros.engines import registry
from ishowtts_ros.core.voices import Voice, VoiceRegistry
options, audio, transcript = json.loads(sys.argv[1])
from pathlib import Path
engine = registry.create('f5', options, VoiceRegistry([Voice('anna', Path(audio), transcript)]))
engine.load(lambda done, what: None)
seconds = time.monotonic() - start
pieces = []
from ishowtts_ros.core.types import SynthesisSettings
engine.synthesize('Hello.', SynthesisSettings(nfe_step=2), pieces.append, lambda: False)
print(json.dumps({'seconds': seconds, 'torch_seconds': torch_seconds, 'samples': sum(map(len, pieces)),
                  'modules': sorted({'.'.join(name.split('.')[:2]) for name in sys.modules})}))
'''


@pytest.fixture(scope='module')
def fresh(tiny, voice):
    """What a fresh interpreter says after it loaded the engine and spoke."""
    from speaking import options

    arguments = json.dumps([options(tiny), str(voice.audio), voice.transcript])
    done = subprocess.run([sys.executable, '-c', LOAD, arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_slow_packages_are_not_imported(fresh):
    assert fresh['samples'] > 0
    assert not SLOW & set(fresh['modules'])


def test_import_and_load_take_under_8_s(fresh):
    """With a tiny checkpoint, so that reading weights does not count.

    `import torch` alone takes up to 4 s on an idle machine; where it takes longer, the machine is busy with
    other work, and the limit is longer in the same proportion.
    """
    assert fresh['seconds'] < 8 * max(1, fresh['torch_seconds'] / 4)


def test_the_registry_alone_imports_no_torch():
    code = ('import sys; from ishowtts_ros.engines import registry; '
            "assert {'f5', 'f5_upstream'} <= set(registry.ENGINES); assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, '-c', code], check=True)


def test_without_torch_the_error_names_the_extra():
    code = ('import sys; sys.modules["torch"] = None\n'
            'from ishowtts_ros.engines import registry\n'
            'from ishowtts_ros.core.types import SpeechError\n'
            'for name, extra in (("f5", "f5"), ("f5_upstream", "upstream")):\n'
            '    try:\n'
            '        registry.create(name)\n'
            '    except SpeechError as error:\n'
            '        assert error.code == "engine_unavailable" and f".[{extra}]" in str(error), error\n'
            '    else:\n'
            '        raise AssertionError(name)\n')
    subprocess.run([sys.executable, '-c', code], check=True)
