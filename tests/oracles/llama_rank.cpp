// What llama.cpp gives for a GGUF file with a head over sequences (pooling type rank): the oracle of gguf_rank.py. Not
// part of the build:
//
//   g++ -O2 -std=c++17 -fopenmp -I LLAMA/include -I LLAMA/ggml/include llama_rank.cpp LLAMA/build/src/libllama.a
//   LLAMA/build/ggml/src/libggml.a LLAMA/build/ggml/src/libggml-cpu.a LLAMA/build/ggml/src/libggml-base.a -lpthread
//   -ldl
//
// llama_rank MODEL.gguf "1 2 3" ["4 5" ...]   each text's ids; out: a line of numbers for each, behind llama.cpp's
// softmax
#include <cstdio>
#include <sstream>
#include <vector>

#include "llama.h"

int main(int argc, char** argv) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = 64;
  parameters.embeddings = true;
  parameters.pooling_type = LLAMA_POOLING_TYPE_RANK;
  parameters.n_threads = parameters.n_threads_batch = 1;
  for (int text = 2; text < argc; ++text) {
    llama_context* context = llama_init_from_model(model, parameters);
    std::vector<llama_token> ids;
    std::istringstream in(argv[text]);
    for (llama_token id; in >> id;) ids.push_back(id);
    if (llama_decode(context, llama_batch_get_one(ids.data(), static_cast<int>(ids.size()))) != 0) return 1;
    const float* numbers = llama_get_embeddings_seq(context, 0);
    for (std::uint32_t i = 0; i < llama_model_n_cls_out(model); ++i) {
      std::printf("%s%.9g", i == 0 ? "" : " ", numbers[i]);
    }
    std::printf("\n");
    llama_free(context);
  }
}
