#!/usr/bin/env bash
# Installs and fetches what a build needs: Debian packages, and LibTorch into build/libtorch. May be run again.
. "$(dirname "$0")/lib.sh"
install_packages
install_libtorch
say "ready: cmake --preset release -DLibTorch_ROOT=$LibTorch_ROOT && cmake --build --preset release"
