// What a Dataset is: a list of a corpus's usable rows, and their report.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "training/data/corpus.h"

namespace powerhouse {

struct Dataset::Impl {
  enum class Side { all, train, validation };
  static std::shared_ptr<const Impl> make(std::shared_ptr<const training::Corpus> corpus, Side side);

  std::shared_ptr<const training::Corpus> corpus;
  std::vector<std::uint32_t> rows;  // usable ones, in the files' order
  DatasetReport report;
  std::string fingerprint;

  std::int64_t row(std::int64_t index) const { return rows[static_cast<std::size_t>(index)]; }
};

}  // namespace powerhouse
