// Greedy tokens by llama.cpp in float32: the oracle program of tests/oracles/llama_greedy.py. Not part of the build:
//
//   g++ -O2 -std=c++17 -I LLAMA/include -I LLAMA/ggml/include llama_greedy.cpp -L LLAMA/build/bin -lllama -lggml
//   -lggml-base
//
// llama_greedy MODEL.gguf COUNT ID ...   continues the ids by COUNT tokens; prints each with its lead over the second
// best, in logits.
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "llama.h"

namespace {

std::pair<llama_token, float> best(const float* logits, int count) {
  int first = 0;
  for (int i = 1; i < count; ++i) first = logits[i] > logits[first] ? i : first;
  float lead = 1e30f;
  for (int i = 0; i < count; ++i) {
    if (i != first && logits[first] - logits[i] < lead) lead = logits[first] - logits[i];
  }
  return {first, lead};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  std::vector<llama_token> ids;
  for (int i = 3; i < argc; ++i) ids.push_back(std::atoi(argv[i]));
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  for (int left = std::atoi(argv[2]); left > 0; --left) {
    if (llama_decode(context, llama_batch_get_one(ids.data(), static_cast<int>(ids.size()))) != 0) return 1;
    const auto [id, lead] = best(llama_get_logits_ith(context, -1), vocabulary);
    std::printf("%d %.6g\n", id, static_cast<double>(lead));
    ids = {id};
  }
}
