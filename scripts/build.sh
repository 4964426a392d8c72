#!/usr/bin/env bash
# Builds the ROS package into ./install. Run scripts/setup.sh first.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u; . scripts/env.sh; set -u

# CMake refuses to export include folders that lie inside the source folder, and .venv does.
# So the source folder that CMake sees is one of links, beside it.
source=build/source/ishowtts
mkdir -p "$source" log
for entry in CMakeLists.txt package.xml action config ishowtts_ros launch msg scripts srv; do
    ln -sfn "$PWD/$entry" "$source/$entry"
done

echo "ishowtts: building the ROS package into install (log: log/build.log)"
if ! colcon --log-base log build --base-paths build/source --symlink-install --event-handlers console_direct+ \
        --cmake-args -DPython3_EXECUTABLE="$(command -v python3)" -DBUILD_TESTING=OFF -Wno-dev > log/build.log 2>&1; then
    tail -n 60 log/build.log >&2
    exit 1
fi
