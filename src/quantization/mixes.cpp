#include "quantization/mixes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <numeric>
#include <optional>
#include <regex>

#include "powerhouse/error.h"
#include "quantization/mix_rules.h"

namespace powerhouse {
namespace {

using F = BlockFormat;

/// Matrices that stay as they are: small, and read for every token.
constexpr std::string_view kKept[] = {"_norm.weight",
                                      "ffn_gate_inp.weight",
                                      "ffn_gate_tid2eid.weight",
                                      "altup",
                                      "laurel",
                                      "per_layer_model_proj",
                                      "ssm_conv1d",
                                      "shortconv.conv.weight",
                                      "indexer.k_proj.weight",
                                      "indexer.q_proj.weight",
                                      "time_mix_first.weight",
                                      "time_mix_w0.weight",
                                      "time_mix_w1.weight",
                                      "time_mix_w2.weight",
                                      "time_mix_v0.weight",
                                      "time_mix_v1.weight",
                                      "time_mix_v2.weight",
                                      "time_mix_a0.weight",
                                      "time_mix_a1.weight",
                                      "time_mix_a2.weight",
                                      "time_mix_g1.weight",
                                      "time_mix_g2.weight",
                                      "time_mix_decay_w1.weight",
                                      "time_mix_decay_w2.weight",
                                      "time_mix_lerp_fused.weight",
                                      "attn_rel_b.weight",
                                      ".position_embd"};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Part part_of(std::string_view name) {
  if (name == "output.weight") return Part::output;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return Part::embedding;
  constexpr std::pair<std::string_view, Part> kParts[] = {{"attn_qkv.weight", Part::value},
                                                          {"attn_kv_b.weight", Part::value},
                                                          {"attn_v.weight", Part::value},
                                                          {"attn_k.weight", Part::key},
                                                          {"attn_q.weight", Part::query},
                                                          {"attn_output.weight", Part::attention_output},
                                                          {"ffn_up", Part::up},
                                                          {"ffn_gate", Part::gate},
                                                          {"ffn_down", Part::down}};
  for (const auto& [text, part] : kParts) {
    if (contains(name, text)) return part;
  }
  return Part::other;
}

std::optional<int> layer_of(std::string_view name) {
  int layer = 0;
  if (!name.starts_with("blk.")) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return error == std::errc{} && end != name.data() + name.size() && *end == '.' ? std::optional(layer) : std::nullopt;
}

/// Of the model sizes that llama.cpp tells by the number of layers, those it calls 70B.
bool is_large(const MixModel& model) {
  if (model.architecture == "jais2") return model.layers == 68;
  if (model.layers != 80) return false;
  if (model.architecture == "llama") return model.heads != model.key_value_heads;
  return model.architecture == "deci" || model.architecture == "olmo" || model.architecture == "qwen2";
}

/// For rows that blocks do not divide.
F fitting(F format, std::int64_t columns) {
  if (columns % block_info(format).block_elements == 0) return format;
  F other = format;
  switch (format) {
    case F::q2_0:
    case F::q2_k:
    case F::q3_k:
    case F::tq1_0:
    case F::tq2_0: other = F::q4_0; break;
    case F::q4_k: other = F::q5_0; break;
    case F::q5_k: other = F::q5_1; break;
    case F::q6_k: other = F::q8_0; break;
    case F::q1_0:
      throw Error(ErrorKind::unsupported, "no other type stands in for Q1_0",
                  {.expected = "a multiple of 128 columns", .found = std::to_string(columns)});
    default:
      if (block_info(format).block_elements > 32) other = F::iq4_nl;
  }
  return columns % block_info(other).block_elements == 0 ? other : F::f16;
}

class Chooser {
 public:
  Chooser(const Mix& mix, const MixModel& model, std::span<const MixTensor> tensors, bool importance,
          const MixOverrides& overrides)
      : mix_(mix), model_(model), overrides_(overrides), experts_(model.experts > 1) {
    const std::int64_t shared = model.key_value_heads > 0 ? model.heads / model.key_value_heads : 0;
    place_ = {.shared_heads = shared >= 4,
              .eight_experts = model.experts == 8,
              .four_experts = model.experts >= 4,
              .falcon = model.architecture == "falcon",
              .large = is_large(model),
              .importance = importance,
              .layer = 0,
              .layers = 0};
    for (const MixTensor& tensor : tensors) {
      const Part part = part_of(tensor.name);
      if (part == Part::value) ++values_;
      if (part == Part::output) tied_ = false;
    }
    for (const MixOverrides::Pattern& pattern : overrides.patterns) {
      try {
        patterns_.emplace_back(pattern.text);
      } catch (const std::regex_error& error) {
        throw Error(ErrorKind::usage, "not a regular expression", {.field = pattern.text, .found = error.what()});
      }
    }
  }

  F choose(const MixTensor& tensor) {
    const Part part = part_of(tensor.name);
    if (!is_quantizable(tensor) || (overrides_.leave_output && part == Part::output)) return tensor.format;
    if (overrides_.embedding && part == Part::embedding) return *overrides_.embedding;
    if (overrides_.output && part == Part::output) return *overrides_.output;
    if (block_info(mix_.format).block_elements == 1) return mix_.format;
    F format = mix_.format;
    if (const std::optional<F> named = of_pattern(tensor.name)) {
      format = *named;
    } else if (!overrides_.pure) {
      format = preferred(tensor);
    }
    return fitting(format, tensor.shape.back());
  }

 private:
  std::optional<F> of_pattern(const std::string& name) const {
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      if (std::regex_search(name, patterns_[i])) return overrides_.patterns[i].format;
    }
    return std::nullopt;
  }

  F preferred(const MixTensor& tensor) {
    const Part part = part_of(tensor.name);
    if (part == Part::output || (part == Part::embedding && tied_)) return output_format(tensor);
    if (mix_.file_type == kMxfp4FileType)
      return tensor.shape.size() > 2 && tensor.shape[tensor.shape.size() - 3] > 1 ? F::mxfp4 : F::q8_0;
    int& seen = seen_[static_cast<std::size_t>(part)];
    place_.layer = seen++;
    place_.layers = part == Part::value ? values_ : static_cast<int>(model_.layers);
    const bool two_bits = has_two_bits(mix_.file_type);
    const bool by_name = part == Part::up || part == Part::gate || (part == Part::down && !two_bits);
    if (experts_ && by_name) {  // experts of a layer may be several tensors
      const std::optional<int> layer = layer_of(tensor.name);
      if (!layer || *layer >= model_.layers) {
        throw Error(ErrorKind::format, "a tensor of experts names no layer of the model", {.field = tensor.name});
      }
      place_.layer = *layer;
    }
    return ruled_format(mix_.file_type, part, place_).value_or(mix_.format);
  }

  F output_format(const MixTensor& tensor) const {
    if (overrides_.output) return *overrides_.output;
    if (mix_.file_type == kMxfp4FileType || place_.falcon) return F::q8_0;
    if (tensor.shape.back() % block_info(mix_.format).block_elements != 0) return F::q8_0;
    if (has_two_bits(mix_.file_type) || mix_.file_type == kIq3XxsFileType) return F::q5_k;
    return mix_.format == F::q8_0 ? F::q8_0 : F::q6_k;
  }

  const Mix& mix_;
  const MixModel& model_;
  const MixOverrides& overrides_;
  std::vector<std::regex> patterns_{};
  bool experts_;
  bool tied_ = true;  // no output.weight: embeddings are the output
  int values_ = 0;
  Place place_{};
  std::array<int, static_cast<std::size_t>(Part::other) + 1> seen_{};
};

}  // namespace

const Mix* find_mix(std::string_view name) noexcept {
  std::string upper(name);
  for (char& letter : upper) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  if (upper == "Q3_K" || upper == "Q4_K" || upper == "Q5_K") upper += "_M";
  for (const Mix& mix : mixes()) {
    if (upper == mix.name || upper == std::to_string(mix.file_type)) return &mix;
  }
  return nullptr;
}

bool is_quantizable(const MixTensor& tensor) {
  std::size_t dimensions = tensor.shape.size();
  while (dimensions > 1 && tensor.shape[tensor.shape.size() - dimensions] == 1) --dimensions;
  if (dimensions < 2 || !tensor.name.ends_with("weight")) return false;
  if (tensor.name == "position_embd.weight" || tensor.name == "token_types.weight") return false;
  return std::none_of(std::begin(kKept), std::end(kKept),
                      [&](std::string_view kept) { return contains(tensor.name, kept); });
}

bool is_useless_unweighed(BlockFormat format) noexcept {
  constexpr F kFormats[] = {F::iq1_s, F::iq1_m, F::iq2_xxs, F::iq2_xs, F::iq2_s, F::iq3_xxs};
  return std::find(std::begin(kFormats), std::end(kFormats), format) != std::end(kFormats);
}

bool wants_importance(const Mix& mix, std::string_view tensor, BlockFormat format) noexcept {
  const Part part = part_of(tensor);
  if (part == Part::output || part == Part::embedding) return false;
  return is_useless_unweighed(format) || (format == F::q2_k && std::string_view(mix.name) == "Q2_K_S");
}

std::vector<std::size_t> mix_order(std::span<const MixTensor> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int layer_a = layer_of(tensors[a].name).value_or(-1);
    const int layer_b = layer_of(tensors[b].name).value_or(-1);
    return layer_a != layer_b ? layer_a < layer_b : tensors[a].name < tensors[b].name;
  });
  return order;
}

std::vector<BlockFormat> mix_types(const Mix& mix, const MixModel& model, std::span<const MixTensor> tensors,
                                   bool importance, const MixOverrides& overrides) {
  Chooser chooser(mix, model, tensors, importance, overrides);
  std::vector<BlockFormat> types(tensors.size());
  // Rules count tensors layer by layer, and within one by name.
  for (const std::size_t i : mix_order(tensors)) types[i] = chooser.choose(tensors[i]);
  return types;
}

}  // namespace powerhouse
