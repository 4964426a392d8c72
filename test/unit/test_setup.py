"""scripts/setup.sh: what it cannot do, it says before it does anything."""

from pathlib import Path
import shutil
import subprocess

import pytest

SCRIPTS = Path(__file__).parents[2] / 'scripts'


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
