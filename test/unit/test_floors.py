"""The floors: an import may only point down."""

import subprocess
import sys

import pytest

FORBIDDEN = {
    'ishowtts_ros.core.synthesizer': ('rclpy', 'torch', 'yaml'),
    'ishowtts_ros.engines.registry': ('rclpy', 'torch', 'ishowtts_ros.engines.espeak', 'ishowtts_ros.engines.tone'),
    'ishowtts_ros.engines.espeak': ('rclpy', 'torch', 'ishowtts_ros.normalization'),     # espeak reads numbers itself
    'ishowtts_ros.normalization': ('rclpy', 'torch', 'num2words', 'ishowtts_ros.engines'),
    'ishowtts_ros.cli': ('rclpy', 'torch'),
}


@pytest.mark.parametrize('module', FORBIDDEN)
def test_a_fresh_interpreter_imports_the_module_and_nothing_above_it(module):
    code = f'import sys, {module}; print([name for name in {FORBIDDEN[module]} if name in sys.modules])'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == '[]', result.stdout + result.stderr


def test_the_node_starts_without_torch():
    pytest.importorskip('rclpy', reason='ROS is not built here; `make test` builds it')
    code = 'import sys, ishowtts_ros.tts_node; print("torch" in sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == 'False', result.stdout + result.stderr
