// PromptDataset: views of one corpus of prompts.
#include "powerhouse/prompt_dataset.h"

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/prompt_corpus.h"
#include "training/data/report.h"

namespace powerhouse {

using training::PromptCorpus;

struct PromptDataset::Impl {
  enum class Side { all, train, validation };

  std::shared_ptr<const PromptCorpus> corpus;
  std::vector<std::uint32_t> rows;  // usable ones
  DatasetReport report;
  std::string fingerprint;

  static std::shared_ptr<const Impl> make(std::shared_ptr<const PromptCorpus> corpus, Side side) {
    auto out = std::make_shared<Impl>();
    training::ReportBuilder report;
    for (std::int64_t row = 0; row < corpus->rows(); ++row) {
      if (side != Side::all && corpus->validation(row) != (side == Side::validation)) continue;
      report.add(corpus->facts(row), corpus->facts(row).length, [&] { return corpus->place(row); });
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
    throw Error(ErrorKind::range, "no such row",
                {.field = "row", .expected = "below " + std::to_string(rows.size()), .found = std::to_string(index)});
  }
};

PromptDataset::PromptDataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
PromptDataset::PromptDataset(const PromptDataset&) = default;
PromptDataset::PromptDataset(PromptDataset&&) noexcept = default;
PromptDataset& PromptDataset::operator=(const PromptDataset&) = default;
PromptDataset& PromptDataset::operator=(PromptDataset&&) noexcept = default;
PromptDataset::~PromptDataset() = default;

PromptDataset PromptDataset::open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                  const PromptDatasetOptions& options) {
  return PromptDataset(Impl::make(std::make_shared<PromptCorpus>(tokenizer, sources, options), Impl::Side::all));
}

PromptDataset PromptDataset::train() const { return PromptDataset(Impl::make(impl_->corpus, Impl::Side::train)); }
PromptDataset PromptDataset::validation() const {
  return PromptDataset(Impl::make(impl_->corpus, Impl::Side::validation));
}

std::int64_t PromptDataset::size() const { return static_cast<std::int64_t>(impl_->rows.size()); }
Prompt PromptDataset::prompt(std::int64_t row) const { return impl_->corpus->prompt(impl_->row(row)); }
RowPlace PromptDataset::place(std::int64_t row) const { return impl_->corpus->place(impl_->row(row)); }
const DatasetReport& PromptDataset::report() const { return impl_->report; }
const std::string& PromptDataset::fingerprint() const { return impl_->fingerprint; }
const Tokenizer& PromptDataset::tokenizer() const { return impl_->corpus->tokenizer(); }

}  // namespace powerhouse
