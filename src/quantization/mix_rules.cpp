#include "quantization/mix_rules.h"

#include <cstdint>

#include "quantization/mixes.h"

namespace powerhouse {
namespace {

using F = BlockFormat;
using Set = std::uint64_t;  // of file types

enum FileType : int {
  kF32,
  kF16,
  kQ4_0,
  kQ4_1,
  kQ8_0 = 7,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K_S,
  kQ3_K_M,
  kQ3_K_L,
  kQ4_K_S,
  kQ4_K_M,
  kQ5_K_S,
  kQ5_K_M,
  kQ6_K,
  kIQ2_XXS,
  kIQ2_XS,
  kQ2_K_S,
  kIQ3_XS,
  kIQ3_XXS,
  kIQ1_S,
  kIQ4_NL,
  kIQ3_S,
  kIQ3_M,
  kIQ2_S,
  kIQ2_M,
  kIQ4_XS,
  kIQ1_M,
  kBF16,
  kTQ1_0 = 36,
  kTQ2_0,
  kMXFP4 = 38,
  kNVFP4 = 39,
  kQ1_0,
  kQ2_0,
};

constexpr Mix kMixes[] = {
    {"F32", kF32, F::f32},
    {"F16", kF16, F::f16},
    {"Q4_0", kQ4_0, F::q4_0},
    {"Q4_1", kQ4_1, F::q4_1},
    {"Q8_0", kQ8_0, F::q8_0},
    {"Q5_0", kQ5_0, F::q5_0},
    {"Q5_1", kQ5_1, F::q5_1},
    {"Q2_K", kQ2_K, F::q2_k},
    {"Q3_K_S", kQ3_K_S, F::q3_k},
    {"Q3_K_M", kQ3_K_M, F::q3_k},
    {"Q3_K_L", kQ3_K_L, F::q3_k},
    {"Q4_K_S", kQ4_K_S, F::q4_k},
    {"Q4_K_M", kQ4_K_M, F::q4_k},
    {"Q5_K_S", kQ5_K_S, F::q5_k},
    {"Q5_K_M", kQ5_K_M, F::q5_k},
    {"Q6_K", kQ6_K, F::q6_k},
    {"IQ2_XXS", kIQ2_XXS, F::iq2_xxs},
    {"IQ2_XS", kIQ2_XS, F::iq2_xs},
    {"Q2_K_S", kQ2_K_S, F::q2_k},
    {"IQ3_XS", kIQ3_XS, F::iq3_s},
    {"IQ3_XXS", kIQ3_XXS, F::iq3_xxs},
    {"IQ1_S", kIQ1_S, F::iq1_s},
    {"IQ4_NL", kIQ4_NL, F::iq4_nl},
    {"IQ3_S", kIQ3_S, F::iq3_s},
    {"IQ3_M", kIQ3_M, F::iq3_s},
    {"IQ2_S", kIQ2_S, F::iq2_xs},
    {"IQ2_M", kIQ2_M, F::iq2_s},
    {"IQ4_XS", kIQ4_XS, F::iq4_xs},
    {"IQ1_M", kIQ1_M, F::iq1_m},
    {"BF16", kBF16, F::bf16},
    {"TQ1_0", kTQ1_0, F::tq1_0},
    {"TQ2_0", kTQ2_0, F::tq2_0},
    {"MXFP4_MOE", kMXFP4, F::mxfp4},
    {"NVFP4", kNVFP4, F::nvfp4},
    {"Q1_0", kQ1_0, F::q1_0},
    {"Q2_0", kQ2_0, F::q2_0},
};

template <typename... Types>
constexpr Set of(Types... types) {
  return (Set{0} | ... | (Set{1} << types));
}
constexpr Set kAny = ~Set{0};
constexpr Set kTwoBits = of(kIQ2_XXS, kIQ2_XS, kIQ2_S, kIQ2_M, kIQ1_S, kIQ1_M);

struct Rule {
  Part part;
  Set mixes;
  bool (*holds)(const Place&);  // null: always
  F format;
};

#define POWERHOUSE_WHEN(condition) [](const Place& p) -> bool { return condition; }

// The first that holds decides. Tensors without a rule have the mix's own type.
constexpr Rule kRules[] = {
    {Part::embedding, of(kIQ2_XXS, kIQ2_XS, kIQ1_S, kIQ1_M), nullptr, F::q2_k},
    {Part::embedding, of(kIQ2_S, kIQ2_M, kIQ3_XXS), nullptr, F::iq3_s},
    {Part::embedding, of(kTQ1_0, kTQ2_0, kQ2_0), nullptr, F::q4_k},

    {Part::value, kTwoBits, POWERHOUSE_WHEN(p.shared_heads || p.four_experts), F::q4_k},
    {Part::value, of(kIQ2_S, kIQ2_M), nullptr, F::iq3_s},
    {Part::value, kTwoBits, nullptr, F::q2_k},
    {Part::value, kAny, POWERHOUSE_WHEN(p.eight_experts), F::q8_0},
    {Part::value, of(kQ2_K), POWERHOUSE_WHEN(p.shared_heads && !p.large), F::q4_k},
    {Part::value, of(kQ2_K), POWERHOUSE_WHEN(!p.shared_heads && !p.large), F::q3_k},
    {Part::value, of(kQ2_K), nullptr, F::q5_k},
    {Part::value, of(kQ2_K_S, kIQ3_XXS, kIQ3_XS, kIQ3_S), POWERHOUSE_WHEN(p.shared_heads&& p.large), F::q5_k},
    {Part::value, of(kQ2_K_S, kIQ3_XXS, kIQ3_XS, kIQ3_S), POWERHOUSE_WHEN(p.shared_heads), F::q4_k},
    {Part::value, of(kIQ3_XXS), POWERHOUSE_WHEN(!p.importance), F::iq3_s},
    {Part::value, of(kIQ3_M, kQ3_K_M), POWERHOUSE_WHEN(p.large), F::q5_k},
    {Part::value, of(kIQ3_M), nullptr, F::q4_k},
    {Part::value, of(kQ3_K_M), POWERHOUSE_WHEN(p.layer < 2), F::q5_k},
    {Part::value, of(kQ3_K_M), nullptr, F::q4_k},
    {Part::value, of(kQ3_K_L), nullptr, F::q5_k},
    {Part::value, of(kIQ4_NL, kIQ4_XS), POWERHOUSE_WHEN(p.shared_heads), F::q5_k},
    {Part::value, of(kQ4_K_M, kQ5_K_M), POWERHOUSE_WHEN(p.more_bits()), F::q6_k},
    {Part::value, of(kQ4_K_S), POWERHOUSE_WHEN(p.layer < 4), F::q5_k},
    {Part::value, of(kQ3_K_S, kQ4_K_S, kQ4_K_M), POWERHOUSE_WHEN(p.large), F::q5_k},

    {Part::key, kTwoBits, POWERHOUSE_WHEN(p.eight_experts), F::q4_k},
    {Part::key, ~kTwoBits, POWERHOUSE_WHEN(p.eight_experts), F::q8_0},
    {Part::key, of(kIQ3_XS), nullptr, F::iq3_xxs},
    {Part::key, of(kIQ3_XXS), nullptr, F::iq2_s},
    {Part::query, of(kIQ3_XS), nullptr, F::iq3_xxs},
    {Part::query, of(kIQ3_XXS), nullptr, F::iq2_s},

    {Part::down, of(kIQ2_S, kIQ2_M), POWERHOUSE_WHEN(p.first(8)), F::iq3_s},
    {Part::down, kTwoBits, POWERHOUSE_WHEN(p.first(8)), F::q2_k},
    {Part::down, of(kQ2_K), nullptr, F::q3_k},
    {Part::down, of(kQ2_K_S), POWERHOUSE_WHEN(p.first(8)), F::q4_k},
    {Part::down, of(kIQ3_XXS), POWERHOUSE_WHEN(!p.importance && p.first(8)), F::q4_k},
    {Part::down, of(kIQ3_XXS), POWERHOUSE_WHEN(!p.importance), F::q3_k},
    {Part::down, of(kQ3_K_M), POWERHOUSE_WHEN(p.first(16)), F::q5_k},
    {Part::down, of(kQ3_K_M), POWERHOUSE_WHEN(!p.falcon || p.more_bits()), F::q4_k},
    {Part::down, of(kIQ3_M), POWERHOUSE_WHEN(p.first(8) || (p.eight_experts && p.more_bits())), F::q4_k},
    {Part::down, of(kQ3_K_L), POWERHOUSE_WHEN(p.falcon), F::q4_k},
    {Part::down, of(kQ3_K_L), nullptr, F::q5_k},
    {Part::down, of(kQ4_K_M), POWERHOUSE_WHEN(p.falcon ? p.first(16) : p.more_bits()), F::q6_k},
    {Part::down, of(kQ4_K_M), POWERHOUSE_WHEN(p.falcon&& p.more_bits()), F::q5_k},
    {Part::down, of(kIQ4_NL, kIQ4_XS), POWERHOUSE_WHEN(p.first(8) && !p.importance), F::q5_k},
    {Part::down, of(kQ5_K_M), POWERHOUSE_WHEN(p.more_bits()), F::q6_k},
    {Part::down, of(kQ4_K_S), POWERHOUSE_WHEN(!p.falcon && p.first(8)), F::q5_k},
    {Part::down, of(kQ4_0), POWERHOUSE_WHEN(p.importance&& p.first(8)), F::q4_1},
    {Part::down, of(kQ5_0), POWERHOUSE_WHEN(p.importance&& p.first(8)), F::q5_1},

    {Part::attention_output, kTwoBits, POWERHOUSE_WHEN(p.eight_experts), F::q5_k},
    {Part::attention_output, of(kIQ1_S, kIQ1_M), nullptr, F::iq2_xxs},
    {Part::attention_output, of(kIQ2_S, kIQ2_M), nullptr, F::iq3_s},
    {Part::attention_output, of(kQ3_K_L), POWERHOUSE_WHEN(p.falcon), F::q4_k},
    {Part::attention_output,
     of(kQ2_K, kIQ3_XS, kIQ3_XXS, kQ3_K_S, kQ3_K_M, kIQ4_NL, kQ4_K_S, kQ4_K_M, kIQ3_S, kIQ3_M, kIQ4_XS),
     POWERHOUSE_WHEN(!p.falcon && p.eight_experts), F::q5_k},
    {Part::attention_output, of(kQ2_K), POWERHOUSE_WHEN(!p.falcon && !p.eight_experts), F::q3_k},
    {Part::attention_output, of(kIQ3_XXS), POWERHOUSE_WHEN(!p.falcon && !p.eight_experts), F::iq3_s},
    {Part::attention_output, of(kQ3_K_M, kIQ3_M), POWERHOUSE_WHEN(!p.falcon && !p.eight_experts), F::q4_k},
    {Part::attention_output, of(kQ3_K_L), POWERHOUSE_WHEN(!p.falcon && !p.eight_experts), F::q5_k},

    {Part::gate, of(kIQ3_XS), POWERHOUSE_WHEN(p.middle()), F::iq3_xxs},
    {Part::up, of(kIQ3_XS), POWERHOUSE_WHEN(p.middle()), F::iq3_xxs},
};

#undef POWERHOUSE_WHEN

}  // namespace

std::span<const Mix> mixes() noexcept { return kMixes; }

bool has_two_bits(int file_type) noexcept { return (of(file_type) & kTwoBits) != 0; }

std::optional<BlockFormat> ruled_format(int file_type, Part part, const Place& place) {
  for (const Rule& rule : kRules) {
    if (rule.part != part || (rule.mixes & of(file_type)) == 0) continue;
    if (rule.holds == nullptr || rule.holds(place)) return rule.format;
  }
  return std::nullopt;
}

}  // namespace powerhouse
