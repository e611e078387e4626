#include "training/reference_table.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <filesystem>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "powerhouse/tensor_file.h"
#include "support/mapped_file.h"
#include "support/sha256.h"

namespace powerhouse {
namespace {

constexpr const char* kSumsName = "log_probs";

}  // namespace

ReferenceTable::ReferenceTable(const PreferenceMethod& method, const ReferenceModel& reference,
                               const PreferenceDataset& data, std::int64_t batch_size, const std::string& folder)
    : rows_(data.size()), columns_(method.completions_of_row()) {
  const std::string model = reference.fingerprint();
  if (folder.empty() || model.empty()) {
    compute(method, reference, data, batch_size);
    return;
  }
  std::string key = model + "\n" + data.fingerprint() + "\n" + method.reference_key();
  if (method.has_mismatched()) key += " of " + std::to_string(batch_size);  // which says who is put beside whom
  const std::string path = folder + "/ref_log_probs-" + sha256(key).substr(0, 16) + ".safetensors";
  if (read(path)) return;
  compute(method, reference, data, batch_size);
  std::filesystem::create_directories(folder);
  const std::vector<NamedTensor> tensors{{kSumsName, sums_}};
  save_safetensors(path, tensors);
}

bool ReferenceTable::read(const std::string& path) {
  if (!may_exist(path)) return false;
  try {
    const std::vector<NamedTensor> tensors = load_safetensors(path);
    const bool fits = tensors.size() == 1 && tensors[0].first == kSumsName &&
                      tensors[0].second.sizes() == at::IntArrayRef{rows_, columns_} &&
                      tensors[0].second.scalar_type() == at::kFloat;
    if (!fits) throw Error(ErrorKind::format, "not the log-probabilities of these rows", {.file = path});
    sums_ = tensors[0].second;
    log(LogLevel::info, "log-probabilities of the reference: " + path);
    return true;
  } catch (const Error& error) {
    log(LogLevel::warning, std::string("computed again: ") + error.what());
    return false;
  }
}

void ReferenceTable::compute(const PreferenceMethod& method, const ReferenceModel& reference,
                             const PreferenceDataset& data, std::int64_t batch_size) {
  log(LogLevel::info, "scoring " + std::to_string(rows_) + " rows with the reference");
  sums_ = empty_tensor({rows_, columns_}, at::kFloat);
  for (std::int64_t first = 0; first < rows_; first += batch_size) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = first; row < std::min(rows_, first + batch_size); ++row) rows.push_back(row);
    const auto count = static_cast<std::int64_t>(rows.size());
    const at::Tensor sums = method.reference(reference.model(), method.load(data, std::move(rows)));
    sums_.narrow(0, first, count).copy_(sums.view({columns_, count}).t());
  }
}

at::Tensor ReferenceTable::of(const PreferenceMicroBatch& batch) const {
  return sums_.index_select(0, index_tensor(batch.rows)).t().reshape({-1});
}

}  // namespace powerhouse
