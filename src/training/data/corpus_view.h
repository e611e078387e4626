// CorpusView: the usable rows of a corpus, or of one side of it, and their report: what each kind of data set is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/report.h"

namespace powerhouse::training {

enum class DataSide { all, train, validation };

/// Corpus: rows(), facts(row), length(row) in training, validation(row), place(row) and digest().
template <typename Corpus>
struct CorpusView {
  std::shared_ptr<const Corpus> corpus;
  std::vector<std::uint32_t> rows{};  // in the files' order
  DatasetReport report{};
  std::string fingerprint{};

  CorpusView(std::shared_ptr<const Corpus> of, DataSide side) : corpus(std::move(of)) {
    ReportBuilder builder;
    for (std::int64_t row = 0; row < corpus->rows(); ++row) {
      if (side != DataSide::all && corpus->validation(row) != (side == DataSide::validation)) continue;
      builder.add(corpus->facts(row), corpus->length(row), [&] { return corpus->place(row); });
      if (!corpus->facts(row).problems.leaves_out()) rows.push_back(static_cast<std::uint32_t>(row));
    }
    report = builder.finish();
    const std::string_view bytes(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(std::uint32_t));
    fingerprint = sha256(corpus->digest() + sha256(bytes));
  }

  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }

  /// The corpus's number of a row. Error{range}.
  std::int64_t row(std::int64_t index) const {
    if (index >= 0 && index < size()) return rows[static_cast<std::size_t>(index)];
    throw Error(ErrorKind::range, "no such row",
                {.field = "row", .expected = "0 to " + std::to_string(size() - 1), .found = std::to_string(index)});
  }
};

}  // namespace powerhouse::training
