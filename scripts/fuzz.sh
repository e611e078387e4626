#!/usr/bin/env bash
# Fuzzes every parser for some seconds each: scripts/fuzz.sh [--keep] [SECONDS [NAME ...]].
# Starts from the kept corpus (tests/fuzz/corpus); what crashes lies in build/fuzz/findings afterwards. With --keep the
# inputs that reached something new join the corpus, as few as reach it all.
. "$(dirname "$0")/lib.sh"
keep=
if [ "${1:-}" = --keep ]; then keep=1; shift; fi
seconds=${1:-60}
case $seconds in ''|*[!0-9]*) die "usage: scripts/fuzz.sh [--keep] [SECONDS [NAME ...]]" ;; esac
shift $(($# > 0 ? 1 : 0))
command -v clang++ >/dev/null || die "please install: clang (Debian's clang and libclang-rt-dev)"
cmake -S "$root" --preset fuzz >/dev/null
CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(compile_jobs)} cmake --build "$root/build/fuzz" >&2

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for program in "$root"/build/fuzz/bin/*_fuzz; do names+=("$(basename "$program" _fuzz)"); done
fi
findings=$root/build/fuzz/findings
mkdir -p "$findings"
export ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=0 UBSAN_OPTIONS=print_stacktrace=1
for name in "${names[@]}"; do
  program=$root/build/fuzz/bin/${name}_fuzz kept=$root/tests/fuzz/corpus/$name grown=$root/build/fuzz/corpus/$name
  [ -x "$program" ] || die "no fuzzer of the name $name"
  mkdir -p "$grown" "$kept"
  dictionary=()
  [ -f "$root/tests/fuzz/$name.dict" ] && dictionary=("-dict=$root/tests/fuzz/$name.dict")
  say "$name: $seconds s"
  "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=4096 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$findings/$name-" ${dictionary[@]+"${dictionary[@]}"} \
    "$grown" "$kept" || die "$name: a finding, kept in $findings"
  if [ -n "$keep" ]; then
    rm -rf "$grown.least"
    mkdir "$grown.least"
    "$program" -merge=1 -max_len=4096 -verbosity=0 "$grown.least" "$kept" "$grown"
    rm -rf "$kept"
    mv "$grown.least" "$kept"
    say "$name: $(find "$kept" -type f | wc -l) inputs kept"
  fi
done
