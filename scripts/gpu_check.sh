#!/usr/bin/env bash
# The CUDA kernels on a GPU: builds them with a program of checks, holds each to LibTorch, and measures.
#
#   scripts/gpu_check.sh [--build-only] [--output FOLDER] [--architecture 90]
#
# Needs LibTorch with CUDA (LibTorch_ROOT, or the `torch` of python3), CUDA Toolkit 13, g++, CMake and Ninja; no network,
# no other package. Takes at most 9 minutes on 16 cores. Writes gpu_check.json and gpu_check.md into FOLDER
# (build/gpu_check/report); ends with 0 where every check is right, 3 where there is no device.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'gpu_check: %s\n' "$1" >&2; exit "${2:-1}"; }

build=${POWERHOUSE_GPU_CHECK_BUILD:-$root/build/gpu_check}
output=$build/report
architecture= build_only=
while [ $# -gt 0 ]; do
  case $1 in
    --build-only) build_only=1 ;;
    --output) output=${2:?--output needs a folder}; shift ;;
    --architecture) architecture=${2:?--architecture needs a number such as 90}; shift ;;
    *) die "unknown option $1: gpu_check.sh [--build-only] [--output FOLDER] [--architecture 90]" 2 ;;
  esac
  shift
done
started=$SECONDS budget=${POWERHOUSE_GPU_CHECK_SECONDS:-530}
left() { echo $((budget - (SECONDS - started))); }

for tool in cmake ninja python3; do command -v $tool >/dev/null || die "$tool is missing"; done
if [ -z "${LibTorch_ROOT:-}" ]; then
  LibTorch_ROOT=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')
  [ -n "$LibTorch_ROOT" ] || die "there is no LibTorch: set LibTorch_ROOT, or put a Python with torch first on the PATH"
fi
say "LibTorch: $LibTorch_ROOT"

# The device's own architecture; without a device one that all GPUs from compute capability 8.0 on can run as PTX.
if [ -z "$architecture" ] && command -v nvidia-smi >/dev/null; then
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -dc 0-9 || true)
fi
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
query=$(dirname "$nvcc")/__nvcc_device_query  # the toolkit's own answer for -arch=native
if [ -z "$architecture" ] && [ -x "$query" ]; then
  architecture=$("$query" 2>/dev/null | grep -oE '^[0-9]{2,3}' | head -1 || true)
fi
say "architecture: ${architecture:-80, as nothing names that of a device}"

say "building into $build"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPOWERHOUSE_GPU_CHECK=ON \
  -DLibTorch_ROOT="$LibTorch_ROOT" -DPOWERHOUSE_CUDA_ARCHITECTURES="${architecture:-80}" \
  ${POWERHOUSE_COMPILER_LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER=$POWERHOUSE_COMPILER_LAUNCHER} >&2
cmake --build "$build" ${CMAKE_BUILD_PARALLEL_LEVEL:+--parallel "$CMAKE_BUILD_PARALLEL_LEVEL"} >&2
say "built in $((SECONDS - started)) s"
[ -z "$build_only" ] || exit 0

check=$build/bin/gpu_check
rm -rf "$output"
mkdir -p "$output"
lines=$output/lines.jsonl
"$check" --device --report "$lines" >&2 || exit $?

# A process a group, so that what one breaks stays its own; the ones that check come first.
failed=0
for group in $("$check" --list); do
  if [ "$(left)" -lt 20 ]; then
    printf '{"kind": "left_out", "what": "%s", "why": "the time was over"}\n' "$group" >> "$lines"
    continue
  fi
  say "$group ($(left) s left)"
  code=0
  timeout "$(($(left) - 10))" "$check" --group "$group" --report "$lines" >&2 || code=$?
  if [ "$code" -ne 0 ]; then
    failed=1
    [ "$code" -eq 1 ] || printf '{"kind": "broken", "what": "%s", "why": "ended with %s"}\n' "$group" "$code" >> "$lines"
  fi
done

# Compute Sanitizer, on few small shapes.
if command -v compute-sanitizer >/dev/null || [ -x /usr/local/cuda/bin/compute-sanitizer ]; then
  sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
  for tool in memcheck racecheck; do
    for group in flash_attention flash_gradients paged_attention blocks norms adapters; do
      if [ "$(left)" -lt 45 ]; then
        printf '{"kind": "left_out", "what": "%s of %s", "why": "the time was over"}\n' "$tool" "$group" >> "$lines"
        continue
      fi
      say "$tool of $group ($(left) s left)"
      code=0
      timeout 60 "$sanitizer" --tool "$tool" --error-exitcode 9 "$check" --group "$group" --small --report /dev/null \
        > "$output/$tool-$group.txt" 2>&1 || code=$?
      word=clean
      [ "$code" -eq 0 ] || word="ended with $code"
      [ "$code" -ne 9 ] || failed=1
      printf '{"kind": "sanitizer", "tool": "%s", "group": "%s", "result": "%s"}\n' "$tool" "$group" "$word" >> "$lines"
    done
  done
else
  printf '{"kind": "left_out", "what": "compute-sanitizer", "why": "it is not installed"}\n' >> "$lines"
fi

printf '{"kind": "run", "seconds": %s}\n' $((SECONDS - started)) >> "$lines"
python3 "$root/scripts/gpu_report.py" "$lines" "$output/gpu_check.json" "$output/gpu_check.md"
say "$output/gpu_check.md"
exit $failed
