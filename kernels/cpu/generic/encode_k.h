// k-quants: kWidth groups of neighbouring super-blocks are searched at once, then each super-block is put together by
// the reference's functions, which know the layouts.
#pragma once

#include <cstring>

#include "kernels/cpu/generic/encode_search.h"
#include "kernels/cpu/kernels.h"
#include "kernels/reference/encode_super.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Rows as one run of groups; the last ones are repeated where lanes are left over.
struct GroupRun {
  const float* x;
  const float* importance;
  std::int64_t columns;
  int group;
  std::int64_t groups;

  std::int64_t index(std::int64_t first, int lane) const { return smaller(first + lane, groups - 1); }

  void gather(std::int64_t first, Groups& out) const {
    for (int lane = 0; lane < kWidth; ++lane) {
      const float* const from = x + index(first, lane) * group;
      for (int i = 0; i < group; ++i) out.x[i * kWidth + lane] = from[i];
    }
  }
  void gather_importance(std::int64_t first, Groups& out) const {
    for (int lane = 0; lane < kWidth; ++lane) {
      const float* const from = importance + index(first, lane) * group % columns;
      for (int i = 0; i < group; ++i) out.weights[i * kWidth + lane] = from[i];
    }
  }
};

/// Importance in `weights` becomes the cost of an error: times sqrt(spread + x^2).
inline void weigh(int count, Vec spread, Groups& groups) {
  for (int i = 0; i < count; ++i) {
    const Vec x = at(groups.x, i);
    store(groups.weights + i * kWidth, mul(at(groups.weights, i), square_root(add(spread, mul(x, x)))));
  }
}

/// The weights of encoding::group_weights; `spreads` of the lanes' super-blocks are read where importance is given.
inline void weigh_k(const encoding::KFormat& format, const GroupRun& run, std::int64_t first, const float* spreads,
                    Groups& groups) {
  const int count = format.group;
  if (run.importance != nullptr) {
    run.gather_importance(first, groups);
    if (format.format != BlockFormat::q6_k) weigh(count, load(spreads), groups);
    return;
  }
  Vec size = zero();
  if (format.group == 32) {
    for (int i = 0; i < count; ++i) size = add(size, mul(at(groups.x, i), at(groups.x, i)));
    size = square_root(div(size, broadcast(32.0f)));
  }
  for (int i = 0; i < count; ++i) {
    const Vec x = at(groups.x, i);
    const Vec weight = format.format == BlockFormat::q6_k ? mul(x, x)
                       : format.group == 32               ? add(size, absolute(x))
                                                          : absolute(x);
    store(groups.weights + i * kWidth, weight);
  }
}

/// Some super-blocks whose groups fill lanes.
struct Supers {
  static constexpr int kMost = kWidth > 8 ? kWidth / 8 : 1;
  encoding::SuperBlock super[kMost];
  alignas(64) float scales[kMost * 16 + kWidth], lows[kMost * 16 + kWidth], weights[kMost * 16 + kWidth];
  alignas(64) float turns[kMost * 16 + kWidth], bases[kMost * 16 + kWidth];
  float codes[kMost * 256];  ///< of a descent
};

inline void search_k(const encoding::KFormat& format, const GroupRun& run, std::int64_t first, const float* spreads,
                     int to, Groups& groups, Supers& out) {
  const bool weighted = run.importance != nullptr;
  const int half = (format.most + 1) / 2;
  run.gather(first, groups);
  if (format.format == BlockFormat::q3_k && !weighted) {
    store(out.scales + to, search_by_descent(half, format.group, groups));
    for (int lane = 0; lane < kWidth && to + lane < Supers::kMost * 16; ++lane) {
      for (int i = 0; i < 16; ++i) out.codes[(to + lane) * 16 + i] = groups.codes[i * kWidth + lane];
    }
    return;
  }
  weigh_k(format, run, first, spreads, groups);
  Vec sum = zero();
  for (int i = 0; i < format.group; ++i) sum = add(sum, at(groups.weights, i));
  store(out.weights + to, sum);
  const encoding::AffineSearch& search = weighted ? format.weighted : format.plain;
  const Found found = !format.affine    ? search_signed(half, format.group, groups)
                      : search.absolute ? search_affine<true>(search, format.group, groups)
                                        : search_affine<false>(search, format.group, groups);
  store(out.scales + to, found.scale);
  store(out.lows + to, found.low);
  store(out.turns + to, found.turn);
  store(out.bases + to, found.base);
}

/// The search's codes of a group whose scale became 0: hardly ever asked for.
inline void codes_of_search(const encoding::KFormat& format, bool descended, const float* x, const Supers& found,
                            int group, std::uint8_t* codes) {
  const int half = format.affine ? 0 : (format.most + 1) / 2;
  for (int i = 0; i < format.group; ++i) {
    int code = 0;
    if (descended) {
      // A group that is all zero has codes 0, not `half`.
      const bool nothing = encoding::magnitude(encoding::largest(x, format.group)) < encoding::kNothing;
      code = nothing ? 0 : half + static_cast<int>(found.codes[group * format.group + i]);
    } else if (found.turns[group] != 0.0f) {
      const float turned = found.turns[group] * (format.affine ? x[i] - found.bases[group] : x[i]);
      code = half + encoding::between(encoding::nearest(turned), -half, format.most - half);
    }
    codes[i] = static_cast<std::uint8_t>(code);
  }
}

inline void round_group(const encoding::KFormat& format, const float* x, float step, float low, std::uint8_t* codes) {
  const int half = format.affine ? 0 : (format.most + 1) / 2;
  alignas(64) float whole[32];
  for (int i = 0; i < format.group; i += kWidth) {
    const Vec value = load(x + i);
    const Vec scaled = div(format.affine ? add(value, broadcast(low)) : value, broadcast(step));
    store(whole + i, nearest_code(scaled, -half, format.most - half));
  }
  for (int i = 0; i < format.group; ++i) codes[i] = static_cast<std::uint8_t>(static_cast<int>(whole[i]) + half);
}

inline void finish_super(const encoding::KFormat& format, const GroupRun& run, const float* x, int first,
                         const Supers& found, encoding::SuperBlock& super, std::uint8_t* block) {
  const bool weighted = run.importance != nullptr;
  const int groups = 256 / format.group;
  for (int i = 0; i < groups; ++i) {
    super.scales[i] = found.scales[first + i];
    super.minima[i] = -found.lows[first + i];
    super.weights[i] = found.weights[first + i];
  }
  encoding::put_scales(format, weighted, super, block);
  if (format.format == BlockFormat::q6_k &&
      encoding::magnitude(encoding::largest(super.scales, 16)) < encoding::kNothing) {
    return;  // all bytes are zero
  }
  for (int i = 0; i < groups; ++i) {
    const float* const part = x + i * format.group;
    std::uint8_t* const codes = super.codes + i * format.group;
    if (super.steps[i] != 0.0f || !(super.steps[i] == super.steps[i])) {
      round_group(format, part, super.steps[i], super.lows[i], codes);
    } else {
      codes_of_search(format, format.format == BlockFormat::q3_k && !weighted, part, found, first + i, codes);
    }
  }
  encoding::put_codes(format, super.codes, block);
}

inline void encode_k(const EncodeParams& params, std::int64_t begin, std::int64_t end) {
  const encoding::KFormat& format = *encoding::k_format(params.format);
  const int groups_each = 256 / format.group;
  const std::int64_t supers = (end - begin) * params.columns / 256;
  const GroupRun run{.x = params.rows + begin * params.columns,
                     .importance = params.importance,
                     .columns = params.columns,
                     .group = format.group,
                     .groups = supers * groups_each};
  const int bytes = block_info(params.format).block_bytes;
  auto* const blocks = static_cast<std::uint8_t*>(params.blocks) + begin * params.columns / 256 * bytes;
  const int together = kWidth > groups_each ? kWidth / groups_each : 1;
  Groups groups;
  Supers found;
  for (std::int64_t at_super = 0; at_super < supers; at_super += together) {
    const int count = static_cast<int>(smaller(together, supers - at_super));
    float spreads[Supers::kMost] = {};
    for (int i = 0; i < count && params.importance != nullptr && params.format != BlockFormat::q6_k; ++i) {
      spreads[i] = encoding::spread_of(params.format, run.x + (at_super + i) * 256);
    }
    for (int to = 0; to < count * groups_each; to += kWidth) {
      alignas(64) float lanes_spreads[kWidth];
      for (int lane = 0; lane < kWidth; ++lane) {
        lanes_spreads[lane] = spreads[smaller((to + lane) / groups_each, count - 1)];
      }
      search_k(format, run, at_super * groups_each + to, lanes_spreads, to, groups, found);
    }
    for (int i = 0; i < count; ++i) {
      const std::int64_t super = at_super + i;
      finish_super(format, run, run.x + super * 256, i * groups_each, found, found.super[i], blocks + super * bytes);
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
