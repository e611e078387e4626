#!/usr/bin/env bash
# clang-format and clang-tidy (14) over the tree. Takes minutes: check_style.sh [--format-only] [path ...]
. "$(dirname "$0")/lib.sh"
cd "$root"
format_only=false
if [ "${1:-}" = --format-only ]; then
  format_only=true
  shift
fi
for tool in clang-format-14 clang-tidy-14; do
  command -v $tool >/dev/null || die "please install: apt-get install clang-format-14 clang-tidy-14"
done
mapfile -t files < <(git ls-files -- "${@:-.}" | grep -E '\.(h|cpp|cuh|cu)$' | grep -v '_tables\.cpp$')
say "clang-format: ${#files[@]} files"
clang-format-14 --dry-run -Werror "${files[@]}"
$format_only && exit 0

# A compile database without precompiled headers: g++'s are not clang's.
install_libtorch
cmake -S . -B build/tidy -G Ninja -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DLibTorch_ROOT="$LibTorch_ROOT" >/dev/null
# clang-tidy 14 crashes on the files of one instruction set; scalar.cpp includes the same headers.
mapfile -t sources < <(printf '%s\n' "${files[@]}" |
  grep -E '^(src|kernels|examples)/.*\.cpp$' | grep -v '^kernels/cpu/avx')
say "clang-tidy: ${#sources[@]} files"
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy-14 --quiet --warnings-as-errors='*' \
  --extra-arg=-Wno-unknown-warning-option -p build/tidy
