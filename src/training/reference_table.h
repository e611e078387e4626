// The reference's log-probabilities of all rows of a dataset, computed once and kept in a file.
#pragma once

#include <string>

#include "training/preference_method.h"
#include "training/reference_model.h"

namespace powerhouse {

class ReferenceTable {
 public:
  /// Scores the rows in the data's order, `batch_size` at a time, or reads what an earlier run has left in `folder`
  /// (empty: nothing is read or written).
  ReferenceTable(const PreferenceMethod& method, const ReferenceModel& reference, const PreferenceDataset& data,
                 std::int64_t batch_size, const std::string& folder);

  at::Tensor of(const PreferenceMicroBatch& batch) const;

 private:
  void compute(const PreferenceMethod& method, const ReferenceModel& reference, const PreferenceDataset& data,
               std::int64_t batch_size);
  bool read(const std::string& path);

  std::int64_t rows_, columns_;
  at::Tensor sums_{};  // float32 [rows, columns]: chosen and rejected, or a completion and its mismatched one
};

}  // namespace powerhouse
