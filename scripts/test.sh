#!/usr/bin/env bash
# Proves it right: installs what is missing, builds, fetches the real model, and runs the tests. May be run again.
# Its arguments go to ctest (-L fast, -R tokenizer ...), which runs as many tests at once as compilers, or as
# CTEST_PARALLEL_LEVEL says.
. "$(dirname "$0")/lib.sh"
install_packages
install_libtorch
build_preset release
fetch_model
say "testing"
cd "$root"
CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(compile_jobs)} POWERHOUSE_TEST_MODEL=$model ctest --preset release "$@"
