#!/usr/bin/env python3
"""Points the CMake files of PyPI's ROS wheels at this machine's Python and numpy headers.

The wheels export the include folders of the machine they were built on (/opt/python/cp3XX-cp3XX/...). The files may be
hard links into the installer's cache, which other environments are made of: they are replaced, never written to. Paths of
any other place are taken for the wheels' too, since such a cache may have been written to.
usage: relocate_wheels.py VENV
"""

from pathlib import Path
import re
import subprocess
import sys

HEADERS = 'import numpy, sysconfig; print(numpy.get_include()); print(sysconfig.get_path("include"))'

venv = Path(sys.argv[1])
numpy_headers, python_headers = subprocess.run(
    [venv / 'bin/python', '-c', HEADERS], check=True, capture_output=True, text=True).stdout.split('\n')[:2]
for file in venv.glob('share/**/*.cmake'):
    text = file.read_text()
    fixed = re.sub(r'/[^;">]*/numpy/(_core|core)/include', lambda match: numpy_headers, text)
    fixed = re.sub(r'/[^;">]*/include/python3[.\d]*', lambda match: python_headers, fixed)
    if fixed != text:
        file.unlink()
        file.write_text(fixed)
