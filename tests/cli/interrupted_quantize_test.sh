# interrupted_quantize_test.sh PROGRAM MODEL SCRATCH: `quantize` that ends early, wherever in what it writes: by a file that
# may grow no further, as on a full disk, and by SIGKILL. Nothing stands under the final name, one line says why, and the
# same command then comes to the bytes of a run that nothing disturbed. Of two at once for one output the second is
# refused. MODEL is a folder of matrices that 32 divides, with 64 ids and no tokenizer.
set -euo pipefail
program=("$1") scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch/model"
cd "$scratch"
cp "$2"/config.json "$2"/model.safetensors model
awk 'BEGIN {
  print "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"</s>\", \"single_word\": false, \"lstrip\": false,"
  print "\"rstrip\": false, \"normalized\": false, \"special\": true}], \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"
  print "\"trim_offsets\": true, \"use_regex\": true}, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {\"</s>\": 0"
  for (i = 0; i < 26; i++) printf ", \"%c\": %d", 97 + i, i + 1
  print "}, \"merges\": []}}"
}' >model/tokenizer.json
echo '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}' >model/tokenizer_config.json
awk 'BEGIN { x = 7; for (i = 0; i < 4000; i++) { x = (x * 69 + 5) % 65537; printf "%c", 97 + x % 26 } }' >text.txt

fail() {
  echo "$*, and it said: $(cat said)"
  exit 1
}

# quantize <output> <argument>...
quantize() {
  local output=$1
  shift
  "${program[@]}" quantize --model model --output "$output" --threads 1 "$@" >said 2>&1
}

# interrupted <a signal's disposition> <KiB> <output> <argument>...: the exit status of a run whose files may be that long
interrupted() {
  local disposition=$1 limit=$2 status=0
  shift 2
  (
    ulimit -c 0 -f "$limit"
    trap '' XFSZ
    quantize "$@"
  ) >/dev/null 2>&1 || status=$?
  echo "$status"
}

same_bytes() {
  diff -r "$1" "$2" >/dev/null
}

# check <name> <dispositions> <argument>...: with limits that grow, until one is enough
check() {
  local name=$1 dispositions=$2 disposition limit status ended
  shift 2
  quantize "$name.whole" "$@" || fail "$name failed"
  for disposition in $dispositions; do
    ended=0
    for ((limit = 1; limit < 4096; limit += limit / 2 + 1)); do
      rm -rf "$name.out"*
      status=$(interrupted $disposition $limit "$name.out" "$@")
      [ "$status" != 0 ] || break
      ended=$((ended + 1))
      [ ! -e "$name.out" ] || fail "$name, $disposition at $limit KiB: left half of its output"
      [ "$status" = 1 ] || fail "$name, $disposition at $limit KiB: exit status $status"
      [ "$(grep -v warning: said | wc -l)" = 1 ] || fail "$name, $disposition at $limit KiB: not one line"
      grep -q "^powerhouse: .*$name.out.*File too large" said || fail "$name, $disposition at $limit KiB: not the reason"
      quantize "$name.out" "$@" || fail "$name, $disposition at $limit KiB: does not go on"
      same_bytes "$name.whole" "$name.out" || fail "$name, $disposition at $limit KiB: other bytes than in one run"
      [ -z "$(find . -name "$name.out.partial*")" ] || fail "$name, $disposition at $limit KiB: left $(ls)"
    done
    echo "$name: $disposition $ended times, up to $limit KiB"
    [ $ended -gt 4 ]
  done
}

check q8_0 full --type Q8_0
check nf4 full --type nf4
check hqq full --type hqq --group-size 32
check gptq full --type gptq --group-size 32 --calibration text.txt --sequences 8 --sequence-length 32
check awq full --type awq --group-size 32 --calibration text.txt --sequences 8 --sequence-length 32

# Ten times as much text, so that a layer takes longer than a look at the folder.
for i in 1 2 3 4 5 6 7 8 9 10; do cat text.txt; done >long.txt

# begun <output> <seconds> <argument>...: a run in the background, which has finished a layer, or has run so long
begun() {
  local output=$1 end=$((SECONDS + $2))
  shift 2
  "${program[@]}" quantize --model model --output "$output" --threads 1 "$@" >begun 2>&1 &
  until [ -e "$output.partial/progress.json" ] || [ $SECONDS -ge $end ]; do :; done
}

# killed <name> <argument>...: by SIGKILL behind the first layer, then at the end of longer and longer times
killed() {
  local name=$1 behind=0 ended=0 step
  shift
  quantize "$name.whole" "$@" || fail "$name failed"
  for step in 1 2 3 4 5 6 7 8; do
    rm -rf "$name.out"*
    begun "$name.out" 60 "$@"
    sleep 0.00$step
    kill -KILL $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    [ ! -e "$name.out" ] || continue  # it was done
    ended=$((ended + 1))
    grep -q '"layers_done"' "$name.out.partial/progress.json" && behind=$((behind + 1))
    quantize "$name.out" "$@" || fail "$name, killed: does not go on"
    same_bytes "$name.whole" "$name.out" || fail "$name, killed: other bytes than in one run"
    [ -z "$(find . -name "$name.out.partial*")" ] || fail "$name, killed: left $(ls)"
  done
  echo "$name: killed $ended times, $behind behind a layer"
  [ $behind -gt 0 ] || fail "$name: was never killed behind a layer"
}

long="--group-size 32 --calibration long.txt --sequences 600 --sequence-length 64"
killed gptq.killed --type gptq $long
killed awq.killed --type awq $long

# two <name> <argument>...: the first is not disturbed by the second, which is refused, with --restart too
two() {
  local name=$1 more attempt
  shift
  for more in "" --restart; do
    for ((attempt = 0; attempt < 20; attempt++)); do
      rm -rf "$name.out"*
      begun "$name.out" 60 "$@"
      kill -STOP $! 2>/dev/null && [ ! -e "$name.out" ] && break
      wait $!  # it was done
    done
    [ -e "$name.out.partial" ] || fail "$name: the first was never there beside the second"
    ! quantize "$name.out" "$@" $more || fail "$name: two at once"
    grep -q "^powerhouse: .*another run writes into this folder" said || fail "$name: not the reason"
    kill -CONT $!
    wait $! || fail "$name: the first of two was disturbed: $(cat begun)"
    same_bytes "$name.whole" "$name.out" || fail "$name: two at once, other bytes than of one"
  done
}
mv gptq.killed.whole two.whole
two two --type gptq $long
