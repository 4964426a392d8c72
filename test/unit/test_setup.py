"""Makefile and scripts/setup.sh: what is asked for arrives; what cannot be done is said before anything is done."""

from pathlib import Path
import shutil
import subprocess

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / 'scripts'


@pytest.mark.parametrize('name, works', [('my robot', False), ('röbot', False), ('ro-bot_2.0+a', True)])
def test_a_folder_that_ros_cannot_be_built_in_is_named(tmp_path, name, works):
    folder = tmp_path / name / 'scripts'
    folder.mkdir(parents=True)
    shutil.copy(SCRIPTS / 'setup.sh', folder)
    done = subprocess.run([folder / 'setup.sh'], capture_output=True, text=True, timeout=60,
                          env={'PATH': '/usr/bin:/bin', 'PYTHON': 'no-such-python', 'LC_ALL': 'C.UTF-8'})
    assert done.returncode != 0     # for lack of requirements/ or Python, where the folder is right
    assert ('move this one elsewhere' not in done.stderr) is works, done.stderr
    assert list((tmp_path / name).iterdir()) == [folder]


def test_make_demo_hands_on_text_and_files_as_they_are_written(tmp_path):
    shutil.copy(ROOT / 'Makefile', tmp_path)
    for folder in ('msg', 'srv', 'action', 'ishowtts_ros', 'scripts', 'launch', 'config', 'install', 'my model'):
        (tmp_path / folder).mkdir()
    for file in ('CMakeLists.txt', 'package.xml', 'setup.py', 'install/.built', 'my model/model.yaml'):
        (tmp_path / file).touch()
    for script in ('setup.sh', 'build.sh'):
        (tmp_path / 'scripts' / script).write_text('#!/bin/sh\n')
        (tmp_path / 'scripts' / script).chmod(0o755)
    (tmp_path / 'scripts/env.sh').write_text("python3() { printf '%s\\n' \"$@\"; }\n")     # tells what it was given
    text = """It's $5 "quoted" $(HOME) `id` 100% \\ done; -- ls"""
    done = subprocess.run(['make', '-s', 'demo', f'TEXT={text}', 'ENGINE=f5', f'CKPT={tmp_path}/my model/a.safetensors'],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60)
    given = done.stdout.splitlines()
    assert given[-2:] == ['--', text], done
    assert f'f5.checkpoint={tmp_path}/my model/a.safetensors' in given and f'f5.model={tmp_path}/my model/model.yaml' in given
