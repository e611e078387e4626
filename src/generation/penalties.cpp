// What makes tokens less likely for having been written: penalties by count, and n-grams that may not occur twice.
#include <algorithm>
#include <vector>

#include "generation/row_statistics.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {
namespace {

std::span<const std::int64_t> last(std::span<const std::int64_t> ids, std::int64_t count) {
  return count < 0 || count >= std::ssize(ids) ? ids : ids.last(static_cast<std::size_t>(count));
}

}  // namespace

void Penalties::operator()(std::span<float> logits, const LogitsContext& context) const {
  if ((repetition == 1.0f && frequency == 0.0f && presence == 0.0f) || last_n == 0) return;
  std::vector<std::int32_t> counts(logits.size(), 0);
  const auto seen = last(context.ids, last_n);
  for (const std::int64_t id : seen) {
    if (static_cast<std::size_t>(id) < counts.size()) ++counts[static_cast<std::size_t>(id)];
  }
  for (const std::int64_t id : seen) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= counts.size() || counts[at] == 0) continue;
    float& logit = logits[at];
    logit = logit < 0 ? logit * repetition : logit / repetition;
    logit -= static_cast<float>(counts[at]) * frequency + presence;
    counts[at] = 0;
  }
}

void NoRepeatNgram::operator()(std::span<float> logits, const LogitsContext& context) const {
  const auto n = static_cast<std::size_t>(size);
  if (size <= 0 || context.ids.size() < n) return;
  const auto end = context.ids.last(n - 1);
  for (std::size_t first = 0; first + n <= context.ids.size(); ++first) {
    const auto next = static_cast<std::size_t>(context.ids[first + n - 1]);
    if (next < logits.size() && std::equal(end.begin(), end.end(), context.ids.begin() + std::ptrdiff_t(first))) {
      logits[next] = kForbidden;
    }
  }
}

}  // namespace powerhouse::processors
