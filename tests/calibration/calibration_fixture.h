// Tiny models, texts and token ids for tests of calibration.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "calibration/awq_groups.h"
#include "calibration/layerwise.h"
#include "model/fixture.h"
#include "powerhouse/calibration.h"
#include "tests/random_tensor.h"
#include "training/tiny_run.h"

namespace powerhouse::testing {

inline CalibrationData random_ids(const ModelConfig& config, std::int64_t sequences, std::int64_t length = 12) {
  const Random random(11, RandomStream::data);
  CalibrationData data;
  for (std::int64_t s = 0; s < sequences; ++s) {
    data.sequences.emplace_back();
    for (std::int64_t i = 0; i < length; ++i) {
      const double share = random.uniform(static_cast<std::uint64_t>(s * length + i));
      data.sequences.back().push_back(static_cast<std::int64_t>(share * static_cast<double>(config.vocab_size)));
    }
  }
  return data;
}

/// Whether folders of the family hold each expert's matrices in tensors of their own.
inline bool is_packable(const std::string& family) { return !family.starts_with("gpt_oss"); }

inline std::string text_of(int seed, int words) {
  const Random random(static_cast<std::uint64_t>(seed), RandomStream::data);
  std::string text;
  for (int i = 0; i < words; ++i) {
    for (const std::uint32_t word : random.block(static_cast<std::uint64_t>(i))) {
      text += static_cast<char>('a' + word % 26);
    }
    text += ' ';
  }
  return text;
}

/// A random Llama whose sizes 32 divides, with the tokenizer of characters.
inline std::string write_model(const TemporaryFolder& folder) {
  const std::string tiny = write_tiny_model(folder);
  ModelConfig config = load("tiny_gqa").config();
  config.hidden_size = 64;
  for (Block& block : config.layers) block.mlp.intermediate_size = 96;
  const CausalLM model = CausalLM::from_config(config, {.initializer_range = 0.2, .tokenizer = tiny});
  model.save_pretrained(folder.file("source"));
  return folder.file("source");
}

/// One whose sizes 64 divides, with a tokenizer that GGUF has a form for: of bytes, without merges.
inline std::string write_byte_model(const TemporaryFolder& folder) {
  const std::string tiny = write_tiny_model(folder);
  Json tokenizer = Json::parse_file(tiny + "/tokenizer.json");
  JsonObject vocabulary;
  for (const auto& [token, id] : tokenizer.at("model").at("vocab").as_object("vocab")) {
    vocabulary[token == " " ? "\u0120" : token == "\n" ? "\u010a" : token] = id;  // as ByteLevel spells them
  }
  JsonObject model;
  model["type"] = "BPE";
  model["vocab"] = std::move(vocabulary);
  model["merges"] = Json::Array{};
  tokenizer.as_object()["model"] = std::move(model);
  for (const char* part : {"pre_tokenizer", "decoder"}) {
    JsonObject bytes;
    bytes["type"] = "ByteLevel";
    bytes["add_prefix_space"] = false;
    bytes["trim_offsets"] = true;
    bytes["use_regex"] = true;
    tokenizer.as_object()[part] = std::move(bytes);
  }
  folder.write("model/tokenizer.json", tokenizer.dump());
  ModelConfig config = load("tiny_gqa").config();
  config.hidden_size = 64;
  for (Block& block : config.layers) {
    block.attention.num_heads = 4;
    block.attention.head_dim = block.rope.rotary_dim = 16;
    block.mlp.intermediate_size = 128;
  }
  CausalLM::from_config(config, {.initializer_range = 0.2, .tokenizer = tiny}).save_pretrained(folder.file("source"));
  return folder.file("source");
}

inline const CalibrationOptions kCalibration{.sequences = 16, .sequence_length = 32};

/// A group's scale put where AWQ puts it, by the definition: random numbers from 0.5 to 2.
inline void scale_by_hand(Model& model, std::int64_t layer, const ScaleGroup& group,
                          const std::vector<LinearTarget>& targets) {
  const LayerWeights& own = model.weights.layer(layer);
  const std::int64_t channels = targets[group.targets.front()].inputs();
  const at::Tensor scale = random_tensor({channels}, at::kFloat, 9).clamp(-1, 1).exp2();
  const bool one = model.config.layers[static_cast<std::size_t>(layer)].norm.unit_offset;
  if (group.rows.empty()) {
    own[group.feed].copy_(one ? own[group.feed].add(1.0).div(scale).sub(1.0) : own[group.feed].div(scale));
    if (own.bias(group.feed).defined()) own.bias(group.feed).div_(scale);
  }
  for (std::size_t i = 0; i < group.rows.size(); ++i) {
    const auto channel = static_cast<std::int64_t>(i);
    for (const LinearTarget& target : targets) {
      if (target.role() != group.feed || target.expert != group.expert) continue;
      target.matrix(model.weights)[group.rows[i]].div_(scale[channel]);
    }
    const at::Tensor& bias = own.bias(group.feed);
    if (bias.defined()) (group.expert < 0 ? bias : bias[group.expert])[group.rows[i]].div_(scale[channel]);
  }
  for (const std::size_t i : group.targets) targets[i].matrix(model.weights).mul_(scale);
  for (const Role role : group.others) own.matrix(role).mul_(scale);
}

}  // namespace powerhouse::testing
