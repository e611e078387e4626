#include "ops/dropout.h"

#include <cmath>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/philox.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

constexpr std::int64_t kWordsPerBlock = 8;  // of 16 bits

// 0 or 1 / (1 - rate).
at::Tensor mask_of(at::IntArrayRef sizes, const Dropout& dropout) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(dropout.rate * 65536.0f));
  const float kept = 65536.0f / static_cast<float>(65536 - std::min(threshold, 65535u));
  at::Tensor mask = empty_tensor(sizes, at::kFloat);
  auto* const values = mask.mutable_data_ptr<float>();
  const std::int64_t columns = sizes[1];
  const std::int64_t blocks = (columns + kWordsPerBlock - 1) / kWordsPerBlock;
  const Random random(dropout.seed, RandomStream::dropout, dropout.lane);
  parallel_for(sizes[0] * blocks, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const auto words = random.block(dropout.counter + static_cast<std::uint64_t>(block));
      const std::int64_t first = block % blocks * kWordsPerBlock;
      const std::int64_t count = std::min(kWordsPerBlock, columns - first);
      float* const out = values + block / blocks * columns + first;
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t word = words[static_cast<std::size_t>(i / 2)] >> (i % 2 * 16) & 0xFFFFu;
        out[i] = word >= threshold ? kept : 0.0f;
      }
    }
  });
  return mask;
}

}  // namespace

void check_dropout(const Dropout& dropout) {
  if (dropout.rate >= 0.0f && dropout.rate < 1.0f) return;
  throw Error(ErrorKind::range, "a dropout rate must be at least 0 and below 1",
              {.field = "dropout", .expected = "[0, 1)", .found = std::to_string(dropout.rate)});
}

at::Tensor dropped(const at::Tensor& x, const Dropout& dropout) {
  check_dropout(dropout);
  if (dropout.rate == 0.0f || x.numel() == 0) return x;
  return x.mul(mask_of(x.sizes(), dropout)).to(x.scalar_type());
}

}  // namespace powerhouse::ops
