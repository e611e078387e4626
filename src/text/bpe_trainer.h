// BPE training: merge the most frequent pair of neighbours, recount only where it stood, repeat (Sennrich et al.,
// 2016).
//
// The order is that of the `tokenizers` package, whatever of it can be seen: pairs by falling count, then by rising
// ids; a pair whose count fell since it was queued goes back with its new count; the count of a merged pair stays as it
// was, which shows where two merges make the same token and one pair is queued twice. Counts have 64 bits, not 32.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "powerhouse/tokenizer_training.h"
#include "text/word_counts.h"

namespace powerhouse {

struct TrainedBpe {
  std::vector<std::string> vocabulary;  // by id
  std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;
};

TrainedBpe train_bpe(const WordCounts& counts, const BpeTrainerOptions& options);

}  // namespace powerhouse
