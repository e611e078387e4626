// What llama.cpp's mixes look at when they give a tensor another type than their own.
#pragma once

#include <optional>

#include "kernels/common/blocks.h"

namespace powerhouse {

/// What a tensor does in the model. Projections of queries, keys and values in one count as values.
enum class Part { output, embedding, query, value, key, attention_output, up, gate, down, other };

/// What a rule looks at beside the mix.
struct Place {
  bool shared_heads;  // four query heads or more a key-value head
  bool eight_experts, four_experts, falcon, large, importance;
  int layer, layers;  // of the part's tensors

  bool first(int fraction) const { return layer < layers / fraction; }
  bool more_bits() const { return first(8) || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2; }
  bool middle() const { return !first(8) && layer < 7 * layers / 8; }
};

/// The type that a mix gives to a part's tensor; nothing where it is the mix's own.
std::optional<BlockFormat> ruled_format(int file_type, Part part, const Place& place);

/// Whether a mix is one of IQ1 and IQ2, whose rules are apart.
bool has_two_bits(int file_type) noexcept;

constexpr int kMxfp4FileType = 38;
constexpr int kIq3XxsFileType = 23;

}  // namespace powerhouse
