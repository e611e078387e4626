// PreferenceDataset: views of one corpus of preferences.
#include "powerhouse/preference_dataset.h"

#include "powerhouse/error.h"
#include "training/data/corpus_view.h"
#include "training/data/preference_corpus.h"

namespace powerhouse {

using training::DataSide;
using training::PreferenceCorpus;

struct PreferenceDataset::Impl : training::CorpusView<PreferenceCorpus> {
  using CorpusView::CorpusView;

  void need(bool unpaired) const {
    if (corpus->options().unpaired == unpaired) return;
    throw Error(ErrorKind::usage, unpaired ? "rows are pairs" : "rows are single completions",
                {.field = "unpaired", .expected = unpaired ? "true" : "false"});
  }
};

PreferenceDataset::PreferenceDataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
PreferenceDataset::PreferenceDataset(const PreferenceDataset&) = default;
PreferenceDataset::PreferenceDataset(PreferenceDataset&&) noexcept = default;
PreferenceDataset& PreferenceDataset::operator=(const PreferenceDataset&) = default;
PreferenceDataset& PreferenceDataset::operator=(PreferenceDataset&&) noexcept = default;
PreferenceDataset::~PreferenceDataset() = default;

PreferenceDataset PreferenceDataset::open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                          const PreferenceDatasetOptions& options) {
  return PreferenceDataset(
      std::make_shared<const Impl>(std::make_shared<PreferenceCorpus>(tokenizer, sources, options), DataSide::all));
}

PreferenceDataset PreferenceDataset::train() const {
  return PreferenceDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::train));
}
PreferenceDataset PreferenceDataset::validation() const {
  return PreferenceDataset(std::make_shared<const Impl>(impl_->corpus, DataSide::validation));
}

std::int64_t PreferenceDataset::size() const { return impl_->size(); }
bool PreferenceDataset::unpaired() const { return impl_->corpus->options().unpaired; }

PreferencePair PreferenceDataset::pair(std::int64_t row) const {
  impl_->need(false);
  const std::int64_t at = impl_->row(row);
  const PreferenceCorpus::Row ids = impl_->corpus->row(at);
  const PreferenceDatasetOptions& options = impl_->corpus->options();
  return {training::cut_sequence(ids.prompt, ids.completions[0], options),
          training::cut_sequence(ids.prompt, ids.completions[1], options), impl_->corpus->margin(at)};
}

PreferenceSequence PreferenceDataset::completion(std::int64_t row) const {
  impl_->need(true);
  const PreferenceCorpus::Row ids = impl_->corpus->row(impl_->row(row));
  return training::cut_sequence(ids.prompt, ids.completions[0], impl_->corpus->options());
}

bool PreferenceDataset::desirable(std::int64_t row) const {
  impl_->need(true);
  return impl_->corpus->label(impl_->row(row));
}

PreferenceSequence PreferenceDataset::mismatched(std::int64_t prompt_row, std::int64_t completion_row) const {
  impl_->need(true);
  const PreferenceCorpus& corpus = *impl_->corpus;
  return training::cut_sequence(corpus.row(impl_->row(prompt_row)).prompt,
                                corpus.row(impl_->row(completion_row)).completions[0], corpus.options());
}

RowPlace PreferenceDataset::place(std::int64_t row) const { return impl_->corpus->place(impl_->row(row)); }
const DatasetReport& PreferenceDataset::report() const { return impl_->report; }
const std::string& PreferenceDataset::fingerprint() const { return impl_->fingerprint; }

}  // namespace powerhouse
