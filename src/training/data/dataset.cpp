// Dataset: views of one corpus.
#include "powerhouse/dataset.h"

#include "training/data/dataset_view.h"

namespace powerhouse {

using training::DataSide;

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
  return Dataset(std::make_shared<const Impl>(corpus, DataSide::all));
}

Dataset Dataset::train() const { return Dataset(std::make_shared<const Impl>(impl_->corpus, DataSide::train)); }
Dataset Dataset::validation() const {
  return Dataset(std::make_shared<const Impl>(impl_->corpus, DataSide::validation));
}

std::int64_t Dataset::size() const { return impl_->size(); }

TrainingExample Dataset::example(std::int64_t row) const { return impl_->corpus->example(impl_->row(row)); }

RowPlace Dataset::place(std::int64_t row) const { return impl_->corpus->place(impl_->row(row)); }

const DatasetReport& Dataset::report() const { return impl_->report; }
const std::string& Dataset::fingerprint() const { return impl_->fingerprint; }

}  // namespace powerhouse
