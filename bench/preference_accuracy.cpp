// What a model prefers: log-probabilities of the chosen and the rejected completion of each pair of a file, as one line
// of JSON. bench/alignment.py runs it.
//
//     preference_accuracy MODEL PAIRS.jsonl THREADS [ADAPTER]
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <powerhouse/powerhouse.h>

namespace {

using namespace powerhouse;

void add(TokenBatch& batch, const PreferenceSequence& sequence) {
  std::vector<std::int64_t> labels = sequence.input_ids;
  std::fill_n(labels.begin(), sequence.prompt_tokens, kIgnoredTarget);
  batch.add(sequence.input_ids, labels);
}

void print(const char* name, const std::vector<double>& values, const char* end) {
  std::printf("\"%s\": [", name);
  for (std::size_t i = 0; i < values.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : ", ", values[i]);
  std::printf("]%s", end);
}

void run(const std::string& path, const std::string& pairs, int threads, const std::string& adapter) {
  set_threads(threads);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path);
  const PreferenceDataset data = PreferenceDataset::open(tokenizer, {{.path = pairs}});
  CausalLM model = CausalLM::from_pretrained(path, {.dtype = Dtype::bf16});
  if (!adapter.empty()) model.load_adapter(adapter);
  const c10::AutoGradMode no_gradients(false);
  constexpr std::int64_t kPairs = 4;
  std::vector<double> log_probs[2], tokens[2];
  for (std::int64_t first = 0; first < data.size(); first += kPairs) {
    TokenBatch batch;
    for (std::int64_t row = first; row < std::min(first + kPairs, data.size()); ++row) {
      const PreferencePair pair = data.pair(row);
      add(batch, pair.chosen);
      add(batch, pair.rejected);
      tokens[0].push_back(static_cast<double>(pair.chosen.completion_tokens()));
      tokens[1].push_back(static_cast<double>(pair.rejected.completion_tokens()));
    }
    const at::Tensor found = sums({model.score(batch).log_probs, completion_offsets(batch)});
    for (std::int64_t i = 0; i < found.size(0); ++i) log_probs[i % 2].push_back(found[i].item<double>());
  }
  std::printf("{");
  print("chosen", log_probs[0], ", ");
  print("rejected", log_probs[1], ", ");
  print("chosen_tokens", tokens[0], ", ");
  print("rejected_tokens", tokens[1], "}\n");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4 && argc != 5) throw std::runtime_error("preference_accuracy: three or four arguments");
    run(argv[1], argv[2], std::stoi(argv[3]), argc == 5 ? argv[4] : "");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "preference_accuracy: %s\n", error.what());
    return 1;
  }
}
