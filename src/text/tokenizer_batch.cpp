// Batches of texts to ids. Each worker begins with a stretch of its own and the words that it saw in earlier calls, so
// that a corpus gone through again finds them; when it is done it helps the others, one text at a time.
#include <algorithm>
#include <atomic>

#include "powerhouse/tokenizer.h"
#include "support/thread_team.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {

std::vector<std::vector<std::int64_t>> Tokenizer::encode_batch_ids(std::span<const std::string> texts,
                                                                   EncodeOptions options) const {
  std::vector<std::vector<std::int64_t>> out(texts.size());
  const auto count = static_cast<std::int64_t>(texts.size());
  const int workers = static_cast<int>(std::min<std::int64_t>(team_threads(), count));
  std::vector<std::atomic<std::int64_t>> next(static_cast<std::size_t>(workers));
  for (int i = 0; i < workers; ++i) next[static_cast<std::size_t>(i)] = share(count, i, workers).begin;
  const auto work = [&](std::int64_t worker) {
    const WordEncoders::Lease encoder(impl_->encoders, static_cast<std::size_t>(worker));
    for (std::int64_t i = 0; i < workers; ++i) {
      const auto whose = static_cast<int>((worker + i) % workers);
      const std::int64_t end = share(count, whose, workers).end;
      auto& place = next[static_cast<std::size_t>(whose)];
      for (std::int64_t at = place++; at < end; at = place++) {
        const auto text = static_cast<std::size_t>(at);
        out[text] = impl_->encode(texts[text], options, *encoder);
      }
    }
  };
  parallel_for(workers, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t worker = begin; worker < end; ++worker) work(worker);
  });
  return out;
}

}  // namespace powerhouse
