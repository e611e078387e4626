// Rows in the order of training: shuffled, packed and put into batches, from a position that can be saved.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/export.h"
#include "powerhouse/token_batch.h"

namespace powerhouse {

/// TRL's `packing_strategy`: best fit decreasing, each row a document of its own (TRL's bfd_split is this over a
/// dataset with ExcessLength::split); or all rows as one text, cut every sequence_len tokens, in which rows see each
/// other.
enum class PackingStrategy { bfd, wrapped };

struct DataLoaderOptions {
  std::int64_t micro_batch_size = 1;  ///< rows a batch, or packed sequences
  bool sample_packing = false;
  PackingStrategy packing_strategy = PackingStrategy::bfd;
  std::int64_t packing_window = 1000;  ///< rows packed together, TRL's (and datasets') 1000
  bool shuffle = true;                 ///< a new order each epoch, from the seed alone
  std::uint64_t seed = 42;
  bool drop_last = false;  ///< leave out an epoch's last batch where it is not full
};

/// Batches, epoch after epoch, from an exact position.
class POWERHOUSE_API DataLoader {
 public:
  DataLoader(Dataset dataset, const DataLoaderOptions& options = {});
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;
  ~DataLoader();

  /// The next batch; nothing once at the end of each epoch. A piece of a cut row may have no target.
  std::optional<TokenBatch> next();
  std::int64_t epoch() const;  ///< that the next batch belongs to, from 0
  /// Exact, from the rows' lengths: tokenizes nothing.
  std::int64_t batches_in_epoch(std::int64_t epoch) const;
  /// Where the rows of the last batch stand in the files, for messages about it.
  std::vector<RowPlace> last_rows() const;

  /// The position behind the last batch, as JSON; a loader restored from it goes on with the same batches. Error{usage}
  /// where dataset or options are others.
  std::string position() const;
  void restore(const std::string& position);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace powerhouse
