// ClassificationDataset: views of one corpus of labelled texts.
#include "powerhouse/classification_dataset.h"

#include "training/data/classification_corpus.h"
#include "training/data/corpus_view.h"

namespace powerhouse {

using training::ClassificationCorpus;
using training::DataSide;

struct ClassificationDataset::Impl : training::CorpusView<ClassificationCorpus> {
  using CorpusView::CorpusView;
};

ClassificationDataset::ClassificationDataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ClassificationDataset::ClassificationDataset(const ClassificationDataset&) = default;
ClassificationDataset::ClassificationDataset(ClassificationDataset&&) noexcept = default;
ClassificationDataset& ClassificationDataset::operator=(const ClassificationDataset&) = default;
ClassificationDataset& ClassificationDataset::operator=(ClassificationDataset&&) noexcept = default;
ClassificationDataset::~ClassificationDataset() = default;

ClassificationDataset ClassificationDataset::open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                                  const ClassificationDatasetOptions& options) {
  return ClassificationDataset(
      std::make_shared<const Impl>(std::make_shared<ClassificationCorpus>(tokenizer, sources, options), DataSide::all));
}

ClassificationDataset ClassificationDataset::train() const {
  return ClassificationDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::train));
}
ClassificationDataset ClassificationDataset::validation() const {
  return ClassificationDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::validation));
}

const std::vector<std::string>& ClassificationDataset::labels() const { return impl_->corpus->labels().names; }
ProblemType ClassificationDataset::problem_type() const { return impl_->corpus->labels().problem_type; }

std::int64_t ClassificationDataset::size() const { return impl_->size(); }
ClassificationExample ClassificationDataset::example(std::int64_t row) const {
  return impl_->corpus->example(impl_->row(row));
}
RowPlace ClassificationDataset::place(std::int64_t row) const { return impl_->corpus->place(impl_->row(row)); }
const DatasetReport& ClassificationDataset::report() const { return impl_->report; }
const std::string& ClassificationDataset::fingerprint() const { return impl_->fingerprint; }

}  // namespace powerhouse
