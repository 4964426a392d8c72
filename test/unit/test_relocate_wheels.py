"""The CMake files of PyPI's ROS wheels point at this machine's headers, whatever other environments share the files."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import sysconfig

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts/relocate_wheels.py'
EXPORTED = 'set_target_properties(x PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${{_IMPORT_PREFIX}}/include/x;{python};{numpy}")\n'
HERE = EXPORTED.format(python=sysconfig.get_path('include'), numpy=np.get_include())


@pytest.mark.skipif(not SCRIPT.exists(), reason='not a checkout')
@pytest.mark.parametrize('exported', [
    EXPORTED.format(python='/opt/python/cp313-cp313/include/python3.13',
                    numpy='/opt/python/cp313-cp313/lib/python3.13/site-packages/numpy/_core/include'),
    EXPORTED.format(python='/usr/include/python3.12', numpy='/gone/a b/.venv/lib/python3.13/site-packages/numpy/_core/include'),
    HERE,
], ids=['as the wheel has it', 'written to by another checkout', 'right already'])
def test_headers_are_found_and_the_installers_cache_stays(tmp_path, exported):
    cached = tmp_path / 'cache.cmake'
    cached.write_text(exported)
    installed = tmp_path / 'venv/share/x/cmake/x.cmake'
    installed.parent.mkdir(parents=True)
    os.link(cached, installed)
    (tmp_path / 'venv/bin').mkdir()
    python = tmp_path / 'venv/bin/python'
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    subprocess.run([sys.executable, SCRIPT, tmp_path / 'venv'], check=True)
    assert installed.read_text() == HERE
    assert cached.read_text() == exported
