"""Installs the Python module and the `ishowtts` command by pip; the ROS package is built by colcon (CMakeLists.txt)."""

from pathlib import Path
import re

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'ishowtts_ros/__init__.py').read_text()).group(1)

setup(
    name='ishowtts',
    version=VERSION,
    description='A fast, natural, interruptible voice for robots',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['ishowtts_ros', 'ishowtts_ros.*']),
    install_requires=['espeakng-loader>=0.2.4', 'numpy>=1.21', 'pyyaml>=5.4'],
    extras_require={
        'f5': ['torch>=2.5', 'safetensors', 'huggingface-hub', 'num2words>=0.5.10', 'pypinyin', 'rjieba', 'soundfile',
               'tqdm'],
        'upstream': ['torch>=2.5', 'torchaudio>=2.5', 'f5-tts>=1.1', 'vocos>=0.1', 'num2words>=0.5.10'],
        'player': ['sounddevice>=0.4.6'],
        'test': ['cn2an', 'hypothesis', 'pocketsphinx>=5', 'pytest>=7', 'pytest-timeout'],
        'bench': ['matplotlib'],
    },
    entry_points={'console_scripts': ['ishowtts = ishowtts_ros.cli:main']},
)
