// Mixes of block types, by llama.cpp's names (Q4_K_M, IQ3_XS ...): which type each tensor of a model becomes.
//
// The rules are llama.cpp's, written down as a table (mixes.cpp): tensors on which much depends (values of attention,
// down projections of some layers, the output) get more bits, and rows that a type's blocks do not divide another type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/blocks.h"

namespace powerhouse {

struct Mix {
  const char* name;    ///< upper case, as llama-quantize has it
  int file_type;       ///< general.file_type of GGUF
  BlockFormat format;  ///< of tensors that no rule names
};

/// All of them, in the order of their file types.
std::span<const Mix> mixes() noexcept;

/// By name in any case, the aliases Q3_K, Q4_K and Q5_K for the _M mixes included, or by the number of the file type;
/// null for others.
const Mix* find_mix(std::string_view name) noexcept;

/// What rules ask of a model, from its GGUF metadata.
struct MixModel {
  std::string architecture{};  ///< general.architecture
  std::int64_t layers = 0;
  std::int64_t heads = 0;  ///< of the first layer
  std::int64_t key_value_heads = 0;
  std::int64_t experts = 0;
};

/// A tensor by GGUF's name; its shape is [rows, columns] or [experts, rows, columns].
struct MixTensor {
  std::string name{};
  std::vector<std::int64_t> shape{};
  BlockFormat format = BlockFormat::f32;  ///< what it has now, and keeps where it is not quantized
};

/// What a user has otherwise than a mix, as llama-quantize's flags have it.
struct MixOverrides {
  struct Pattern {
    std::string text{};  ///< a regular expression (ECMAScript) that is looked for in the name
    BlockFormat format = BlockFormat::f32;
  };
  bool pure = false;                       ///< the mix's own type for all that quantizes
  bool leave_output = false;               ///< output.weight stays as it is
  std::optional<BlockFormat> output{};     ///< of output.weight, or of the embeddings that stand for it
  std::optional<BlockFormat> embedding{};  ///< of token_embd.weight
  std::vector<Pattern> patterns{};         ///< the first that fits a name decides; not for F32, F16 and BF16
};

/// Whether a tensor becomes another type at all: norms, biases, routers and what is small do not.
bool is_quantizable(const MixTensor& tensor);

/// Types that say too little without importance to be of use.
bool is_useless_unweighed(BlockFormat format) noexcept;

/// Whether llama-quantize refuses to give a tensor this type without importance: the result is of no use.
bool wants_importance(const Mix& mix, std::string_view tensor, BlockFormat format) noexcept;

/// The places of these tensors in the order of llama.cpp's files: what stands outside layers, then layer by layer, by
/// name.
std::vector<std::size_t> mix_order(std::span<const MixTensor> tensors);

/// The type of each tensor, in the order given. `importance`: whether there is an importance matrix, which changes some
/// choices. Error{format} where experts' tensors do not name their layer, Error{usage} for a pattern that is none.
std::vector<BlockFormat> mix_types(const Mix& mix, const MixModel& model, std::span<const MixTensor> tensors,
                                   bool importance, const MixOverrides& overrides = {});

}  // namespace powerhouse
