// A tiny checkpoint whose head and embeddings have another number of rows: what padding to a round number leaves.
#pragma once

#include <string>
#include <vector>

#include "model/fixture.h"
#include "temporary_folder.h"

namespace powerhouse::testing {

/// `name` with its first `kept` rows, and zeros up to `rows`.
inline CausalLM load_with_rows(const std::string& name, std::int64_t kept, std::int64_t rows) {
  const TemporaryFolder folder;
  JsonObject config = Json::parse_file(fixture(name + "/config.json")).as_object();
  config["vocab_size"] = rows;
  folder.write("config.json", Json(std::move(config)).dump());
  std::vector<NamedTensor> tensors = load_safetensors(fixture(name + "/model.safetensors"));
  for (auto& [key, tensor] : tensors) {
    if (key != "lm_head.weight" && key != "model.embed_tokens.weight") continue;
    at::Tensor resized = tensor.new_zeros({rows, tensor.size(1)});
    resized.narrow(0, 0, kept).copy_(tensor.narrow(0, 0, kept));
    tensor = resized;
  }
  save_safetensors(folder.file("model.safetensors"), tensors);
  return CausalLM::from_pretrained(folder.path(), {.dtype = Dtype::f32});
}

}  // namespace powerhouse::testing
