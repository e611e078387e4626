#!/usr/bin/env bash
# From a bare machine to an answer: installs what is missing, builds, fetches a real model, and asks it a question.
# May be run again. Its arguments are the question.
. "$(dirname "$0")/lib.sh"
question=${*:-What is the capital of France, and what is it known for?}
install_packages
install_libtorch
build_preset release powerhouse_cli
fetch_model
say "$question"
"$root/build/release/bin/powerhouse" chat --model "$model" --message "$question" --max-new-tokens 200
say "to go on talking: build/release/bin/powerhouse chat --model $model"
