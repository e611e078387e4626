#!/usr/bin/env bash
# Installs what is missing, builds, fetches the real model, and runs the tests. Arguments go to ctest.
. "$(dirname "$0")/lib.sh"
install_packages
install_libtorch
build_preset release -DPOWERHOUSE_BUILD_TESTS=ON
fetch_model
say "testing"
cd "$root"
POWERHOUSE_TEST_MODEL=$model ctest --preset release "$@"
