// RowLoader: numbers of rows in the order of training, some at a time, from a position that can be saved. For data
// whose rows are not packed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/json.h"

namespace powerhouse::training {

struct RowLoaderOptions {
  std::int64_t micro_batch_size = 1;
  bool shuffle = true;  // a new order each epoch, from the seed alone
  std::uint64_t seed = 42;
  bool drop_last = false;
};

class RowLoader {
 public:
  /// `fingerprint` tells the data apart. Error{usage} without rows.
  RowLoader(std::int64_t rows, std::string fingerprint, const RowLoaderOptions& options);

  /// The next rows; nothing once at the end of each epoch.
  std::optional<std::vector<std::int64_t>> next();
  std::int64_t batches_in_epoch() const;

  /// The position behind the last rows, as JSON. Error{usage} where data or options are others.
  std::string position() const;
  void restore(const std::string& position);

 private:
  Json options_json() const;

  std::int64_t rows_;
  std::string fingerprint_;
  RowLoaderOptions options_;
  std::int64_t epoch_ = 0, place_ = 0;
};

}  // namespace powerhouse::training
