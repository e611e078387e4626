#include "training/parameter_pass.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/kernels.h"
#include "support/philox.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kChunk = 16384;  // elements; a multiple of kStateBlock
static_assert(kChunk % cpu::kStateBlock == 0);

std::int64_t chunks_of(std::int64_t count) { return (count + kChunk - 1) / kChunk; }

/// Calls body(tensor, chunk of all, begin, end) for every chunk of tensors of these sizes.
template <typename Body>
void for_chunks(std::span<const std::int64_t> counts, Body&& body) {
  std::vector<std::int64_t> first{0};  // chunk of each tensor
  for (const std::int64_t count : counts) first.push_back(first.back() + chunks_of(count));
  parallel_for(first.back(), 1, [&](std::int64_t begin, std::int64_t end) {
    auto tensor = static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      while (chunk >= first[tensor + 1]) ++tensor;
      const std::int64_t start = (chunk - first[tensor]) * kChunk;
      body(tensor, chunk, start, std::min(counts[tensor], start + kChunk), chunk + 1 == end);
    }
  });
}

/// Squares of float32 overflow where their sum need not: then again in float64.
double squares(const void* data, Element type, std::int64_t begin, std::int64_t end) {
  const double sum = cpu::kernels().sum_squares(data, type, begin, end);
  if (std::isfinite(sum)) return sum;
  double exact = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto value = static_cast<double>(read_element(data, type, i));
    exact += value * value;
  }
  return exact;
}

void advance(cpu::UpdateState& state, std::int64_t begin) {
  if (state.data == nullptr) return;
  const std::int64_t bytes = state.codes != nullptr ? 1 : element_bytes(state.type);
  state.data = static_cast<std::byte*>(state.data) + begin * bytes;
  if (state.absmax != nullptr) state.absmax += begin / cpu::kStateBlock;
}

/// bf16 up with the probability that the part cut off has; NaN and infinity stay.
bfloat16 round_at_random(float value, std::uint32_t random16) {
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7F800000u) == 0x7F800000u) return rounded<bfloat16>(value);
  return {static_cast<std::uint16_t>((bits + random16) >> 16)};
}

/// The update of elements [begin, end), through a float32 copy of the weights that is then rounded at random.
void update_at_random(const ElementwiseUpdate& update, const Random& random, std::int64_t begin, std::int64_t end) {
  std::array<float, 2 * cpu::kStateBlock> weights;
  constexpr auto kTile = static_cast<std::int64_t>(weights.size());
  for (std::int64_t i = begin; i < end; i += kTile) {
    const std::int64_t count = std::min(kTile, end - i);
    cpu::UpdateParams params = update.params;
    auto* const parameter = static_cast<bfloat16*>(params.parameter) + i;
    for (std::int64_t k = 0; k < count; ++k) weights[static_cast<std::size_t>(k)] = to_float(parameter[k]);
    params.gradient = static_cast<const bfloat16*>(params.gradient) + i;
    params.parameter = nullptr;
    params.master = weights.data();
    advance(params.a, i);
    advance(params.b, i);
    cpu::kernels().optimizer_update(params, 0, count);
    for (std::int64_t k = 0; k < count; k += 8) {  // a block of Philox is eight times 16 bits
      const auto eighth = static_cast<std::uint64_t>(i + k) / 8;
      const auto words = random.block(static_cast<std::uint64_t>(update.step) << 36 | eighth);
      for (std::int64_t part = 0; part < 8 && k + part < count; ++part) {
        const std::uint32_t bits = words[static_cast<std::size_t>(part / 2)] >> (part % 2 * 16) & 0xFFFFu;
        parameter[k + part] = round_at_random(weights[static_cast<std::size_t>(k + part)], bits);
      }
    }
  }
}

/// States of elements [begin, end) leave the resident set.
void release(const StateMemory& memory, const cpu::UpdateParams& params, std::int64_t begin, std::int64_t end) {
  for (const cpu::UpdateState* state : {&params.a, &params.b}) {
    if (state->data == nullptr) continue;
    const std::int64_t bytes = state->codes != nullptr ? 1 : element_bytes(state->type);
    memory.release(static_cast<const std::byte*>(state->data) + begin * bytes,
                   static_cast<std::size_t>((end - begin) * bytes));
  }
  if (params.master != nullptr) {
    memory.release(params.master + begin, static_cast<std::size_t>(end - begin) * sizeof(float));
  }
}

}  // namespace

std::vector<double> gradient_squares(std::span<const ParameterSlot> slots) {
  std::vector<std::int64_t> counts;
  std::vector<const void*> data;
  std::int64_t chunks = 0;
  for (const ParameterSlot& slot : slots) {
    counts.push_back(slot.gradient.defined() ? slot.gradient.numel() : 0);
    data.push_back(slot.gradient.defined() ? slot.gradient.const_data_ptr() : nullptr);
    chunks += chunks_of(counts.back());
  }
  std::vector<double> sums(static_cast<std::size_t>(chunks));
  for_chunks(counts, [&](std::size_t slot, std::int64_t chunk, std::int64_t begin, std::int64_t end, bool) {
    sums[static_cast<std::size_t>(chunk)] = squares(data[slot], slots[slot].type, begin, end);
  });
  std::vector<double> result(slots.size());
  std::size_t chunk = 0;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    for (std::int64_t i = 0; i < chunks_of(counts[slot]); ++i) result[slot] += sums[chunk++];
  }
  return result;
}

void run_updates(std::span<const ElementwiseUpdate> updates, const StateMemory& memory, RoundingSeed rounding) {
  constexpr std::int64_t kReleased = 64 * kChunk;  // elements whose states may be resident at once, a thread
  std::vector<std::int64_t> counts;
  for (const ElementwiseUpdate& update : updates) counts.push_back(update.count);
  for_chunks(counts, [&](std::size_t which, std::int64_t, std::int64_t begin, std::int64_t end, bool last) {
    const ElementwiseUpdate& update = updates[which];
    const cpu::UpdateParams& params = update.params;
    if (rounding.stochastic && params.type == Element::bf16 && params.master == nullptr) {
      update_at_random(update, Random(rounding.seed, RandomStream::rounding, update.slot), begin, end);
    } else {
      cpu::kernels().optimizer_update(params, begin, end);
    }
    // Page by page would be a call of the system a chunk; pages that were let go before may be named again.
    if (memory.paged() && (end == update.count || end % kReleased == 0 || last)) {
      release(memory, params, (end - 1) / kReleased * kReleased, end);
    }
  });
}

}  // namespace powerhouse
