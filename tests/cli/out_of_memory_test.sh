# out_of_memory_test.sh PROGRAM MODEL SCRATCH: where memory runs out, wherever that is, the program ends with exit status 1
# and says so; no signal ends it. MODEL is a tiny folder.
set -euo pipefail
program=$1 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch/model"
cp "$2"/* "$scratch/model"
sed -i 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 8192/' "$scratch/model/config.json"
ids=$(printf '1 %.0s' {1..6000})

# logits <limit in MiB> <ids>: the exit status; what the program says is in $scratch/said
logits() {
  local status=0
  (ulimit -c 0 -v $(($1 * 1024)) && exec "$program" logits --model "$scratch/model" --threads 1 --rows 6000 --ids "$2" \
    --output "$scratch/logits.safetensors") >"$scratch/said" 2>&1 || status=$?
  echo "$status"
}

# The least that a run with hardly any tokens takes: below, not even the program may load.
low=0 high=65536
[ "$(logits $high "1 2")" = 0 ] || { cat "$scratch/said"; exit 1; }
while [ $((high - low)) -gt 1 ]; do
  middle=$(((low + high) / 2))
  if [ "$(logits $middle "1 2")" = 0 ]; then high=$middle; else low=$middle; fi
done

# From there on with many tokens, until there is enough.
failed=0
for ((limit = high; ; limit += 1)); do
  status=$(logits $limit "$ids")
  [ "$status" != 0 ] || break
  failed=$((failed + 1))
  if [ "$status" != 1 ] || ! grep -q '^powerhouse: .*memory' "$scratch/said" || [ "$(wc -l <"$scratch/said")" != 1 ]; then
    echo "in $limit MiB: exit status $status, and it said: $(cat "$scratch/said")"
    exit 1
  fi
done
echo "out of memory $failed times, from $high to $limit MiB"
[ $failed -gt 2 ]
