// PreferenceDataset: views of one corpus of preferences.
#include "powerhouse/preference_dataset.h"

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/preference_corpus.h"
#include "training/data/report.h"

namespace powerhouse {

using training::PreferenceCorpus;

struct PreferenceDataset::Impl {
  enum class Side { all, train, validation };

  std::shared_ptr<const PreferenceCorpus> corpus;
  std::vector<std::uint32_t> rows;  // usable ones
  DatasetReport report;
  std::string fingerprint;

  static std::shared_ptr<const Impl> make(std::shared_ptr<const PreferenceCorpus> corpus, Side side) {
    auto out = std::make_shared<Impl>();
    training::ReportBuilder report;
    for (std::int64_t row = 0; row < corpus->rows(); ++row) {
      if (side != Side::all && corpus->validation(row) != (side == Side::validation)) continue;
      report.add(corpus->facts(row), corpus->tokens(row), [&] { return corpus->place(row); });
      if (!corpus->facts(row).problems.leaves_out()) out->rows.push_back(static_cast<std::uint32_t>(row));
    }
    out->report = report.finish();
    const std::string_view rows(reinterpret_cast<const char*>(out->rows.data()),
                                out->rows.size() * sizeof(std::uint32_t));
    out->fingerprint = sha256(corpus->digest() + sha256(rows));
    out->corpus = std::move(corpus);
    return out;
  }

  std::int64_t row(std::int64_t index) const {
    if (index >= 0 && index < static_cast<std::int64_t>(rows.size())) return rows[static_cast<std::size_t>(index)];
    throw Error(
        ErrorKind::range, "no such row",
        {.field = "row", .expected = "0 to " + std::to_string(rows.size() - 1), .found = std::to_string(index)});
  }

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
      Impl::make(std::make_shared<PreferenceCorpus>(tokenizer, sources, options), Impl::Side::all));
}

PreferenceDataset PreferenceDataset::train() const {
  return PreferenceDataset(Impl::make(impl_->corpus, Impl::Side::train));
}
PreferenceDataset PreferenceDataset::validation() const {
  return PreferenceDataset(Impl::make(impl_->corpus, Impl::Side::validation));
}

std::int64_t PreferenceDataset::size() const { return static_cast<std::int64_t>(impl_->rows.size()); }
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
