// PromptDataset: views of one corpus of prompts.
#include "powerhouse/prompt_dataset.h"

#include "training/data/corpus_view.h"
#include "training/data/prompt_corpus.h"

namespace powerhouse {

using training::DataSide;
using training::PromptCorpus;

struct PromptDataset::Impl : training::CorpusView<PromptCorpus> {
  using CorpusView::CorpusView;
};

PromptDataset::PromptDataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
PromptDataset::PromptDataset(const PromptDataset&) = default;
PromptDataset::PromptDataset(PromptDataset&&) noexcept = default;
PromptDataset& PromptDataset::operator=(const PromptDataset&) = default;
PromptDataset& PromptDataset::operator=(PromptDataset&&) noexcept = default;
PromptDataset::~PromptDataset() = default;

PromptDataset PromptDataset::open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                  const PromptDatasetOptions& options) {
  return PromptDataset(
      std::make_shared<const Impl>(std::make_shared<PromptCorpus>(tokenizer, sources, options), DataSide::all));
}

PromptDataset PromptDataset::train() const {
  return PromptDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::train));
}
PromptDataset PromptDataset::validation() const {
  return PromptDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::validation));
}

std::int64_t PromptDataset::size() const { return impl_->size(); }
Prompt PromptDataset::prompt(std::int64_t row) const { return impl_->corpus->prompt(impl_->row(row)); }
RowPlace PromptDataset::place(std::int64_t row) const { return impl_->corpus->place(impl_->row(row)); }
const DatasetReport& PromptDataset::report() const { return impl_->report; }
const std::string& PromptDataset::fingerprint() const { return impl_->fingerprint; }
const Tokenizer& PromptDataset::tokenizer() const { return impl_->corpus->tokenizer(); }

}  // namespace powerhouse
