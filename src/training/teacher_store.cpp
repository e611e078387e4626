#include "training/teacher_store.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "adapters/registry.h"
#include "model/model_fingerprint.h"
#include "ops/tensors.h"
#include "powerhouse/adapter.h"
#include "powerhouse/data_loader.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "powerhouse/tensor_file.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "support/sha256.h"
#include "training/teacher_source.h"

namespace powerhouse {
namespace {

constexpr const char* kStoreFormat = "powerhouse teacher store 1";
constexpr std::int64_t kChunkBytes = 32 << 20;

at::Tensor bytes_tensor(const std::string& text) {
  at::Tensor out = empty_tensor({static_cast<std::int64_t>(text.size())}, at::kByte);
  std::memcpy(out.mutable_data_ptr(), text.data(), text.size());
  return out;
}

struct Parts {
  std::vector<at::Tensor> ids{}, log_probs{}, rest{};
  std::vector<std::int64_t> documents{};  // hash and first target, side by side
  std::int64_t targets = 0;
};

void score_batch(const CausalLM& teacher, const TokenBatch& batch, const TeacherStoreOptions& options, Parts& parts) {
  for (std::int64_t document = 0; document < batch.documents(); ++document) {
    const std::int64_t count = target_count(batch, document);
    if (count == 0) continue;
    parts.documents.push_back(document_hash(batch, document));
    parts.documents.push_back(parts.targets);
    parts.targets += count;
  }
  if (batch.target_count() == 0) return;
  const TeacherLogits source(teacher, batch);
  const at::Tensor& hidden = source.rows().hidden;
  const std::int64_t step = std::max<std::int64_t>(1, kChunkBytes / (4 * teacher.config().vocab_size));
  for (std::int64_t first = 0; first < hidden.size(0); first += step) {
    const TopTokens top = top_tokens(source.logits(hidden.narrow(0, first, std::min(step, hidden.size(0) - first))),
                                     std::min(options.top_k, teacher.config().vocab_size), options.temperature);
    parts.ids.push_back(top.ids);
    parts.log_probs.push_back(top.log_probs.to(at::kFloat));
    parts.rest.push_back(top.rest.to(at::kFloat));
  }
}

Parts score(const CausalLM& teacher, const Dataset& data, const TeacherStoreOptions& options) {
  const c10::AutoGradMode no_gradients(false);
  Parts parts;
  DataLoader loader(data, {.micro_batch_size = options.batch_size, .shuffle = false});
  while (const auto batch = loader.next()) score_batch(teacher, *batch, options, parts);
  if (parts.targets == 0) throw Error(ErrorKind::usage, "no token is a target", {.field = "data"});
  return parts;
}

std::string about(const CausalLM& teacher, const Dataset& data, const TeacherStoreOptions& options) {
  JsonObject out;
  out["format"] = kStoreFormat;
  out["teacher"] = model_fingerprint(*teacher.impl().model) + " " + std::string(to_string(teacher.dtype())) +
                   (teacher.numerics() == Numerics::exact ? " exact" : "");
  out["data"] = data.fingerprint();
  out["top_k"] = std::min(options.top_k, teacher.config().vocab_size);
  out["temperature"] = options.temperature;
  out["vocab_size"] = teacher.config().vocab_size;
  return Json(std::move(out)).dump();
}

struct StoreReader {
  const std::string& path;
  std::vector<NamedTensor> tensors;

  [[noreturn]] void refuse(const std::string& what, const std::string& field) const {
    throw Error(ErrorKind::format, what, {.file = path, .field = field});
  }
  at::Tensor find(const std::string& name, at::ScalarType type, std::int64_t dimensions) const {
    for (const auto& [own, tensor] : tensors) {
      if (own == name && tensor.scalar_type() == type && tensor.dim() == dimensions) return tensor;
    }
    refuse("not a store of a teacher: a tensor is missing or of another type", name);
  }
};

void read_about(const StoreReader& reader, TeacherStore::Impl& out) {
  const at::Tensor bytes = reader.find("about", at::kByte, 1);
  out.about.assign(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes());
  const Json json = Json::parse(out.about, reader.path);
  const auto member = [&](const char* name) -> const Json& {
    const Json* found = json.is_object() ? json.as_object().find(name) : nullptr;
    if (found == nullptr) reader.refuse("missing", std::string("about.") + name);
    return *found;
  };
  const Json& format = member("format");
  if (!format.is_string() || format.as_string() != kStoreFormat) reader.refuse("another format", "about.format");
  const Json &k = member("top_k"), &temperature = member("temperature"), &vocabulary = member("vocab_size");
  if (!k.is_integer() || !temperature.is_number() || !vocabulary.is_integer()) reader.refuse("not numbers", "about");
  out.top_k = k.as_integer();
  out.temperature = temperature.as_double();
  out.vocab_size = vocabulary.as_integer();
  out.fingerprint = sha256(out.about);
}

void read_tokens(const StoreReader& reader, TeacherStore::Impl& out) {
  TopTokens& tokens = out.tokens;
  tokens = {reader.find("ids", at::kInt, 2), reader.find("log_probs", at::kFloat, 2),
            reader.find("rest", at::kFloat, 1)};
  const std::int64_t targets = tokens.ids.size(0);
  const bool shapes = targets > 0 && out.top_k > 0 && out.top_k <= out.vocab_size && tokens.ids.size(1) == out.top_k &&
                      tokens.log_probs.sizes() == tokens.ids.sizes() && tokens.rest.size(0) == targets;
  if (!shapes) reader.refuse("tensors of shapes that don't fit each other", "ids");
  if (tokens.ids.min().item<std::int64_t>() < 0 || tokens.ids.max().item<std::int64_t>() >= out.vocab_size) {
    reader.refuse("a token outside the vocabulary", "ids");
  }
  const bool finite = tokens.log_probs.isfinite().all().item<bool>() && !tokens.rest.isnan().any().item<bool>();
  if (!finite || tokens.log_probs.max().item<double>() > 1e-3 || tokens.rest.max().item<double>() > 1e-3) {
    reader.refuse("not log-probabilities", "log_probs");
  }
}

void read_documents(const StoreReader& reader, TeacherStore::Impl& out) {
  const at::Tensor documents = reader.find("documents", at::kLong, 2);
  const std::int64_t targets = out.tokens.ids.size(0);
  if (documents.size(1) != 2) reader.refuse("not pairs", "documents");
  const auto* const values = documents.const_data_ptr<std::int64_t>();
  std::int64_t last = -1;
  for (std::int64_t i = 0; i < documents.size(0); ++i) {
    const std::int64_t first = values[2 * i + 1];
    if (first <= last || first >= targets) reader.refuse("places out of order", "documents");
    out.first.emplace(values[2 * i], last = first);
  }
}

}  // namespace

std::int64_t target_count(const TokenBatch& batch, std::int64_t document) {
  const auto place = static_cast<std::size_t>(document);
  const auto begin = batch.targets.begin();
  return batch.cu_seqlens[place + 1] - batch.cu_seqlens[place] -
         std::count(begin + batch.cu_seqlens[place], begin + batch.cu_seqlens[place + 1], kIgnoredTarget);
}

std::int64_t document_hash(const TokenBatch& batch, std::int64_t document) {
  const auto place = static_cast<std::size_t>(document);
  const auto first = static_cast<std::size_t>(batch.cu_seqlens[place]);
  const auto bytes = static_cast<std::size_t>(batch.cu_seqlens[place + 1]) * 8 - first * 8;
  std::string text(2 * bytes, '\0');
  std::memcpy(text.data(), batch.input_ids.data() + first, bytes);
  std::memcpy(text.data() + bytes, batch.targets.data() + first, bytes);
  return static_cast<std::int64_t>(std::stoull(sha256(text).substr(0, 16), nullptr, 16));
}

std::int64_t TeacherStore::Impl::missing(const TokenBatch& batch) const {
  for (std::int64_t document = 0; document < batch.documents(); ++document) {
    const std::int64_t count = target_count(batch, document);
    if (count == 0) continue;
    const auto found = first.find(document_hash(batch, document));
    if (found == first.end() || found->second + count > tokens.ids.size(0)) return document;
  }
  return -1;
}

TopTokens TeacherStore::Impl::of(const TokenBatch& batch) const {
  std::vector<at::Tensor> ids, log_probs, rest;
  if (missing(batch) >= 0)
    throw Error(ErrorKind::usage, "the store has no such row", {.file = path, .field = "teacher"});
  for (std::int64_t document = 0; document < batch.documents(); ++document) {
    const std::int64_t count = target_count(batch, document);
    if (count == 0) continue;
    const std::int64_t place = first.at(document_hash(batch, document));
    ids.push_back(tokens.ids.narrow(0, place, count));
    log_probs.push_back(tokens.log_probs.narrow(0, place, count));
    rest.push_back(tokens.rest.narrow(0, place, count));
  }
  return {concatenate(ids, 0), concatenate(log_probs, 0), concatenate(rest, 0)};
}

TeacherStore TeacherStore::make(const CausalLM& teacher, const Dataset& data, const std::string& folder,
                                const TeacherStoreOptions& options) {
  const auto bound = [](bool fine, const char* field, const char* expected) {
    if (!fine) throw Error(ErrorKind::range, "out of range", {.field = field, .expected = expected});
  };
  bound(options.top_k >= 1, "top_k", "1 or more");
  bound(options.temperature > 0, "temperature", "above 0");
  bound(options.batch_size >= 1, "batch_size", "1 or more");
  if (!adapter_names(teacher).empty()) {
    throw Error(ErrorKind::unsupported, "a teacher with adapters has no name: merge them", {.field = "teacher"});
  }
  const std::string what = about(teacher, data, options);
  const std::string path = folder + "/teacher-" + sha256(what).substr(0, 16) + ".safetensors";
  if (may_exist(path)) {
    try {
      TeacherStore found = open(path);
      log(LogLevel::info, "what the teacher said: " + path);
      return found;
    } catch (const Error& error) {
      log(LogLevel::warning, std::string("made again: ") + error.what());
    }
  }
  log(LogLevel::info, "asking the teacher about " + std::to_string(data.size()) + " rows");
  Parts parts = score(teacher, data, options);
  at::Tensor documents = index_tensor(parts.documents).view({-1, 2});
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error(ErrorKind::io, "cannot make the folder: " + error.message(), {.file = folder});
  const std::vector<NamedTensor> tensors{{"about", bytes_tensor(what)},
                                         {"documents", documents},
                                         {"ids", concatenate(parts.ids, 0)},
                                         {"log_probs", concatenate(parts.log_probs, 0)},
                                         {"rest", concatenate(parts.rest, 0)}};
  parts = {};
  save_safetensors(path, tensors);
  return open(path);
}

TeacherStore TeacherStore::open(const std::string& path) {
  const StoreReader reader{path, load_safetensors(path)};
  auto out = std::make_shared<Impl>();
  out->path = path;
  read_about(reader, *out);
  read_tokens(reader, *out);
  read_documents(reader, *out);
  return TeacherStore(std::move(out));
}

TeacherStore::TeacherStore(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
TeacherStore::TeacherStore(const TeacherStore&) = default;
TeacherStore::TeacherStore(TeacherStore&&) noexcept = default;
TeacherStore& TeacherStore::operator=(const TeacherStore&) = default;
TeacherStore& TeacherStore::operator=(TeacherStore&&) noexcept = default;
TeacherStore::~TeacherStore() = default;

const std::string& TeacherStore::path() const { return impl_->path; }
std::int64_t TeacherStore::top_k() const { return impl_->top_k; }
double TeacherStore::temperature() const { return impl_->temperature; }
std::int64_t TeacherStore::vocab_size() const { return impl_->vocab_size; }
std::int64_t TeacherStore::documents() const { return static_cast<std::int64_t>(impl_->first.size()); }
std::int64_t TeacherStore::targets() const { return impl_->tokens.ids.size(0); }

}  // namespace powerhouse
