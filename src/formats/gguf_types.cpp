#include "formats/gguf_types.h"

#include <string>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// ggml's type ids; the gaps are types that it removed.
constexpr std::pair<std::uint32_t, BlockFormat> kTensorTypes[] = {
    {0, BlockFormat::f32},      {1, BlockFormat::f16},     {2, BlockFormat::q4_0},     {3, BlockFormat::q4_1},
    {6, BlockFormat::q5_0},     {7, BlockFormat::q5_1},    {8, BlockFormat::q8_0},     {9, BlockFormat::q8_1},
    {10, BlockFormat::q2_k},    {11, BlockFormat::q3_k},   {12, BlockFormat::q4_k},    {13, BlockFormat::q5_k},
    {14, BlockFormat::q6_k},    {15, BlockFormat::q8_k},   {16, BlockFormat::iq2_xxs}, {17, BlockFormat::iq2_xs},
    {18, BlockFormat::iq3_xxs}, {19, BlockFormat::iq1_s},  {20, BlockFormat::iq4_nl},  {21, BlockFormat::iq3_s},
    {22, BlockFormat::iq2_s},   {23, BlockFormat::iq4_xs}, {24, BlockFormat::i8},      {25, BlockFormat::i16},
    {26, BlockFormat::i32},     {27, BlockFormat::i64},    {28, BlockFormat::f64},     {29, BlockFormat::iq1_m},
    {30, BlockFormat::bf16},    {34, BlockFormat::tq1_0},  {35, BlockFormat::tq2_0},   {39, BlockFormat::mxfp4},
    {40, BlockFormat::nvfp4},   {41, BlockFormat::q1_0},   {42, BlockFormat::q2_0},
};

}  // namespace

std::optional<BlockFormat> gguf_tensor_format(std::uint32_t number) {
  for (const auto& [known, format] : kTensorTypes) {
    if (known == number) return format;
  }
  return std::nullopt;
}

std::uint32_t gguf_type_number(BlockFormat format, const std::string& path, const std::string& tensor) {
  for (const auto& [number, known] : kTensorTypes) {
    if (known == format) return number;
  }
  throw Error(ErrorKind::unsupported, "GGUF has no such tensor type",
              {.file = path, .field = tensor, .found = std::string(block_info(format).name)});
}

}  // namespace powerhouse
