// A tiny model with a tokenizer of characters, and rows for it: what tests of training run on.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/adapter.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/dataset.h"
#include "powerhouse/tokenizer.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse::testing {

/// The folder tests/fixtures/model/tiny_gqa (97 tokens) with a tokenizer: a token a character, "</s>" ends a text.
inline std::string write_tiny_model(const TemporaryFolder& folder) {
  namespace fs = std::filesystem;
  const std::string path = folder.file("model");
  fs::create_directories(path);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy(std::string(POWERHOUSE_FIXTURES "/model/tiny_gqa/") + name, path + "/" + name);
  }
  JsonObject vocabulary;
  const std::string characters = "</s> abcdefghijklmnopqrstuvwxyz0123456789.,?!:'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n#-";
  vocabulary["</s>"] = std::int64_t{0};
  for (const char c : characters.substr(4))
    vocabulary[std::string(1, c)] = static_cast<std::int64_t>(vocabulary.size());
  JsonObject model;
  model["type"] = "BPE";
  model["vocab"] = std::move(vocabulary);
  model["merges"] = Json::Array{};
  JsonObject end;
  end["id"] = std::int64_t{0};
  end["content"] = "</s>";
  end["special"] = true;
  for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) end[key] = false;
  JsonObject tokenizer;
  tokenizer["version"] = "1.0";
  tokenizer["added_tokens"] = Json::Array{end};
  tokenizer["model"] = std::move(model);
  folder.write("model/tokenizer.json", Json(std::move(tokenizer)).dump());
  folder.write("model/tokenizer_config.json",
               R"({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "</s>"})");
  return path;
}

/// Rows of `completion` that can be learned: a letter again and again, of differing lengths.
inline std::string completion_lines(int rows) {
  std::string lines;
  for (int i = 0; i < rows; ++i) {
    const std::string letter(1, static_cast<char>('a' + i % 7));
    std::string text;
    for (int k = 0; k < 5 + i % 11; ++k) text += letter + std::to_string(k % 10);
    lines += R"({"text": ")" + text + "\"}\n";
  }
  return lines;
}

using Weights = std::vector<std::pair<std::string, at::Tensor>>;

inline Weights copy_weights(const CausalLM& model) {
  Weights copies;
  for (const auto& [name, tensor] : model.trainable_parameters()) copies.emplace_back(name, tensor.detach().clone());
  return copies;
}

inline double largest_difference(const Weights& a, const Weights& b) {
  if (a.size() != b.size()) return 1e30;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, a[i].second.to(at::kDouble).sub(b[i].second).abs().max().item<double>());
  }
  return largest;
}

inline bool same_bits(const Weights& a, const Weights& b) {
  if (a.size() != b.size() || a.empty()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].first != b[i].first || !a[i].second.equal(b[i].second)) return false;
  }
  return true;
}

}  // namespace powerhouse::testing
