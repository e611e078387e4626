// How many tokens are worth drafting, from what passes take and how far drafts came true.
//
// With c[k] the probability that token k of a draft is accepted once those before it are, n tokens give
// 1 + c[1] + c[1] c[2] + ... tokens of text a pass on average. Dividing by the time of a pass over n + 1 rows and of
// the draft gives the speed; the n of the largest speed wins, 0 among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace powerhouse {

class DraftLength {
 public:
  DraftLength(std::int64_t most, bool adaptive) : most_(most), adaptive_(adaptive) {}

  /// How many tokens to draft now, at most `most`, of drafts of a promise, each in so many branches. Counts: after many
  /// times 0, one draft is tried again.
  std::int64_t choose(std::size_t promise, std::int64_t branches = 1);

  /// A pass over `rows` new rows took so long.
  void passed(std::int64_t rows, double seconds);
  /// So did drafting `tokens`.
  void drafted(std::int64_t tokens, double seconds);
  /// Of a draft's tokens, so many came true. `seen` says how many were looked at: the text may end before.
  void verified(std::size_t promise, std::int64_t seen, std::int64_t accepted);

  /// The expected seconds of a pass.
  double pass_seconds(std::int64_t rows) const;

 private:
  struct Place {
    double trials = 0, accepted = 0;
  };
  struct Promise {
    std::vector<Place> places;
    std::int64_t refused = 0;  // in a row
    std::int64_t patience = kPatience;
  };
  static constexpr std::int64_t kPatience = 16, kMostPatience = 256;

  Promise& promise(std::size_t number);
  std::int64_t best(const Promise& promise, std::int64_t branches) const;

  std::int64_t most_;
  bool adaptive_;
  std::vector<Promise> promises_;
  // Weighted sums over passes: of 1, rows, rows^2, seconds, rows * seconds; older ones weigh less.
  double weight_ = 0, rows_ = 0, rows2_ = 0, seconds_ = 0, rows_seconds_ = 0;
  double token_weight_ = 0, token_seconds_ = 0;  // of drafting
};

}  // namespace powerhouse
