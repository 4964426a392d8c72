#!/usr/bin/env bash
# Installs the system packages that the player's tests need, where apt allows it; otherwise says
# what is missing, and the tests that need it are skipped.
set -uo pipefail
packages=(libportaudio2 libasound2-plugins)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
    echo "ishowtts: installing ${missing[*]} by apt"
    { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "ishowtts: missing ${missing[*]}; the player's device tests are skipped. To run them: sudo apt install ${missing[*]}"
