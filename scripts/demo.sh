#!/usr/bin/env bash
# From a bare machine to an answer, and to a model that answers otherwise: installs what is missing, builds, fetches a
# real model, asks it a question, fine-tunes it for about a minute, and asks the same again.
# May be run again. Its arguments are the question.
. "$(dirname "$0")/lib.sh"
question=${*:-What is the capital of France, and what is it known for?}
install_packages
install_libtorch
build_preset release powerhouse_cli
fetch_model
powerhouse=$root/build/release/bin/powerhouse
say "$question"
"$powerhouse" chat --model "$model" --message "$question" --max-new-tokens 200

data=$cache/data/trivia.jsonl
run=$cache/demo-lora
say "fine-tuning on trivia, for short answers; loss on questions that are held back:"
python3 "$root/examples/data/trivia.py" "$data"
"$powerhouse" train --config "$root/examples/lora.yaml" base_model="$model" datasets.0.path="$data" output_dir="$run"
say "the same question again: $question"
"$powerhouse" chat --model "$model" --adapter "$run" --message "$question" --max-new-tokens 200
say "the curves: $run/report.html; the adapter, which PEFT reads too: $run"
say "to go on talking: build/release/bin/powerhouse chat --model $model [--adapter $run]"
