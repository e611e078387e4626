// What llama.cpp makes of texts in a GGUF file's vocabulary: the oracle of tests/oracles/gguf_vocabularies.py and of
// comparisons by hand. Not part of the build:
//
//   g++ -O2 -std=c++17 -I LLAMA/include -I LLAMA/ggml/include llama_ids.cpp -L LLAMA/build/bin -lllama -lggml
//   -lggml-base
//
// llama_ids VOCABULARY.gguf encode|special|plain TEXTS OUT   each text: its length (u32) and bytes; out: count and ids
//   encode: BOS and EOS added, special tokens parsed; special: only parsed; plain: neither
// llama_ids VOCABULARY.gguf pieces OUT                       each token: the length of its piece (u32) and bytes
// llama_ids VOCABULARY.gguf end                              the ids that end a generation, one a line
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

void write_number(std::ostream& out, std::uint32_t value) {
  out.write(reinterpret_cast<const char*>(&value), sizeof value);
}

void encode(const llama_vocab* vocab, const std::string& mode, const char* texts, const char* path) {
  std::ifstream in(texts, std::ios::binary);
  std::ofstream out(path, std::ios::binary);
  std::vector<llama_token> ids;
  std::string bytes;
  for (std::uint32_t length = 0; in.read(reinterpret_cast<char*>(&length), sizeof length);) {
    bytes.resize(length);
    in.read(bytes.data(), length);
    ids.resize(2 * length + 16);
    const auto run = [&] {
      return llama_tokenize(vocab, bytes.data(), static_cast<std::int32_t>(length), ids.data(),
                            static_cast<std::int32_t>(ids.size()), mode == "encode", mode != "plain");
    };
    std::int32_t count = run();
    if (count < 0) {
      ids.resize(static_cast<std::size_t>(-count));
      count = run();
    }
    write_number(out, static_cast<std::uint32_t>(count));
    out.write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(sizeof(llama_token)) * count);
  }
}

void pieces(const llama_vocab* vocab, const char* path) {
  std::ofstream out(path, std::ios::binary);
  std::vector<char> piece(1 << 16);
  for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
    const std::int32_t length =
        llama_token_to_piece(vocab, id, piece.data(), static_cast<std::int32_t>(piece.size()), 0, true);
    write_number(out, static_cast<std::uint32_t>(length));
    out.write(piece.data(), length);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (std::getenv("LLAMA_IDS_VERBOSE") != nullptr) std::fputs(text, stderr);
      },
      nullptr);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(argv[1], params);
  if (model == nullptr) {
    std::cerr << argv[1] << ": llama.cpp cannot load this\n";
    return 1;
  }
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const std::string mode = argv[2];
  if (mode == "end") {
    for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); ++id) {
      if (llama_vocab_is_eog(vocab, id)) std::cout << id << "\n";
    }
  } else if (mode == "pieces" && argc == 4) {
    pieces(vocab, argv[3]);
  } else if (argc == 5) {
    encode(vocab, mode, argv[3], argv[4]);
  } else {
    return 2;
  }
  llama_model_free(model);
}
