// One reader a packing; each is a row of quantized_folder.cpp's table.
#pragma once

#include <string>
#include <string_view>

#include "formats/packed_parts.h"
#include "support/json.h"

namespace powerhouse {

/// A module's weight out of its parts. `config` is `quantization_config`. What was put right joins `repaired`.
using JoinModule = TensorView (*)(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);

TensorView join_gptq(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);
TensorView join_awq(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);
TensorView join_compressed(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);
TensorView join_exl2(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);
TensorView join_hqq(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired);

/// What HQQ has beside a module's W_q.
inline constexpr std::string_view kHqqParts[] = {
    // clang-format off
    ".scale", ".zero", ".shape", ".nbits", ".group_size", ".axis", ".packing", ".view_as_float", ".unpack_view_dtype",
    ".quant_scale", ".quant_zero", ".compute_dtype", ".channel_wise", ".optimize", ".round_zero", ".offload_meta",
    ".encoded_state_dict", ".stores_quant_config",
    // clang-format on
};

/// Throw Error{unsupported} naming the key where `config` asks for what is not read. `file` is config.json.
void check_gptq(const Json& config, const std::string& file);
void check_awq(const Json& config, const std::string& file);
void check_compressed(const Json& config, const std::string& file);
void check_exl2(const Json& config, const std::string& file);
void check_hqq(const Json& config, const std::string& file);

}  // namespace powerhouse
