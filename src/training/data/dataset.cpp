// Dataset: views of one corpus.
#include "powerhouse/dataset.h"

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/dataset_view.h"
#include "training/data/report.h"

namespace powerhouse {

std::shared_ptr<const Dataset::Impl> Dataset::Impl::make(std::shared_ptr<const training::Corpus> corpus, Side side) {
  auto out = std::make_shared<Impl>();
  training::ReportBuilder report;
  for (std::int64_t row = 0; row < corpus->rows(); ++row) {
    if (side != Side::all && corpus->validation(row) != (side == Side::validation)) continue;
    report.add(corpus->facts(row), corpus->length(row), [&] { return corpus->place(row); });
    if (!corpus->facts(row).problems.leaves_out()) out->rows.push_back(static_cast<std::uint32_t>(row));
  }
  out->report = report.finish();
  const std::string_view rows(reinterpret_cast<const char*>(out->rows.data()),
                              out->rows.size() * sizeof(std::uint32_t));
  out->fingerprint = sha256(corpus->digest() + sha256(rows));
  out->corpus = std::move(corpus);
  return out;
}

Dataset::Dataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Dataset::Dataset(const Dataset&) = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(const Dataset&) = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;
Dataset::~Dataset() = default;

Dataset Dataset::open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                      const DatasetOptions& options) {
  const auto corpus = std::make_shared<training::Corpus>(tokenizer, sources, options);
  corpus->scan();
  if (options.check_contamination) training::mark_contamination(*corpus);
  return Dataset(Impl::make(corpus, Impl::Side::all));
}

Dataset Dataset::train() const { return Dataset(Impl::make(impl_->corpus, Impl::Side::train)); }
Dataset Dataset::validation() const { return Dataset(Impl::make(impl_->corpus, Impl::Side::validation)); }

std::int64_t Dataset::size() const { return static_cast<std::int64_t>(impl_->rows.size()); }

namespace {

void check_row(std::int64_t row, std::int64_t size) {
  if (row >= 0 && row < size) return;
  throw Error(ErrorKind::range, "no such row",
              {.field = "row", .expected = "0 to " + std::to_string(size - 1), .found = std::to_string(row)});
}

}  // namespace

TrainingExample Dataset::example(std::int64_t row) const {
  check_row(row, size());
  return impl_->corpus->example(impl_->row(row));
}

RowPlace Dataset::place(std::int64_t row) const {
  check_row(row, size());
  return impl_->corpus->place(impl_->row(row));
}

const DatasetReport& Dataset::report() const { return impl_->report; }
const std::string& Dataset::fingerprint() const { return impl_->fingerprint; }

}  // namespace powerhouse
