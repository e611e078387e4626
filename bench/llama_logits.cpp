// Logits of every position by llama.cpp, as it runs by default: the peer of `powerhouse logits` in compare.py --cpu.
//
//   llama_logits MODEL.gguf IDS.txt OUT.f32 THREADS ROWS   ROWS tokens a pass; OUT is float32 [tokens, vocabulary]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "llama.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  std::ifstream in(argv[2]);
  std::vector<llama_token> ids{std::istream_iterator<llama_token>(in), {}};
  const auto rows = static_cast<std::size_t>(std::atoi(argv[5]));
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<unsigned>(ids.size() + 256) / 256 * 256;
  params.n_batch = params.n_ubatch = static_cast<unsigned>(rows);
  params.n_threads = params.n_threads_batch = std::atoi(argv[4]);
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  const auto vocabulary = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  std::ofstream out(argv[3], std::ios::binary);
  llama_batch batch = llama_batch_init(static_cast<int>(rows), 0, 1);
  for (std::size_t first = 0; first < ids.size(); first += rows) {
    const std::size_t count = std::min(rows, ids.size() - first);
    batch.n_tokens = static_cast<int>(count);
    for (std::size_t i = 0; i < count; ++i) {
      batch.token[i] = ids[first + i];
      batch.pos[i] = static_cast<llama_pos>(first + i);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    if (llama_decode(context, batch) != 0) return 1;
    for (std::size_t i = 0; i < count; ++i) {
      out.write(reinterpret_cast<const char*>(llama_get_logits_ith(context, static_cast<int>(i))),
                static_cast<std::streamsize>(vocabulary * sizeof(float)));
    }
  }
  return out.flush() ? 0 : 1;
}
