#include "training/data/row_loader.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/permutation.h"

namespace powerhouse::training {
namespace {

constexpr std::uint32_t kRowUse = 0;

}  // namespace

RowLoader::RowLoader(std::int64_t rows, std::string fingerprint, const RowLoaderOptions& options)
    : rows_(rows), fingerprint_(std::move(fingerprint)), options_(options) {
  if (rows < 1) {
    throw Error(ErrorKind::usage, "no usable row in this dataset; its report says why", {.field = "dataset"});
  }
  if (options.micro_batch_size < 1) {
    throw Error(ErrorKind::usage, "must be positive",
                {.field = "micro_batch_size", .found = std::to_string(options.micro_batch_size)});
  }
}

std::optional<std::vector<std::int64_t>> RowLoader::next() {
  const std::int64_t count = std::min(options_.micro_batch_size, rows_ - place_);
  if (count <= 0 || (options_.drop_last && count < options_.micro_batch_size)) {
    ++epoch_;
    place_ = 0;
    return std::nullopt;
  }
  const Permutation order(rows_, options_.seed, kRowUse, static_cast<std::uint32_t>(epoch_));
  std::vector<std::int64_t> taken;
  for (std::int64_t i = 0; i < count; ++i, ++place_) taken.push_back(options_.shuffle ? order[place_] : place_);
  return taken;
}

std::int64_t RowLoader::batches_in_epoch() const {
  const std::int64_t size = options_.micro_batch_size;
  return options_.drop_last ? rows_ / size : (rows_ + size - 1) / size;
}

Json RowLoader::options_json() const {
  JsonObject out;
  out["dataset"] = fingerprint_;
  out["micro_batch_size"] = options_.micro_batch_size;
  out["shuffle"] = options_.shuffle;
  out["seed"] = std::to_string(options_.seed);
  out["drop_last"] = options_.drop_last;
  return Json(std::move(out));
}

std::string RowLoader::position() const {
  JsonObject out;
  out["epoch"] = epoch_;
  out["row"] = place_;
  out["loader"] = options_json();
  return Json(std::move(out)).dump();
}

void RowLoader::restore(const std::string& position) {
  const Json saved = Json::parse(position, "data position");
  const Json expected = options_json();
  for (const auto& [name, value] : expected.as_object()) {
    const Json* const found = saved.at("loader").get(name);
    if (found != nullptr && found->dump() == value.dump()) continue;
    throw Error(ErrorKind::usage, "the position of another run of data",
                {.field = name, .expected = value.dump(), .found = found == nullptr ? "nothing" : found->dump()});
  }
  const std::int64_t epoch = saved.at("epoch").as_integer("epoch"), row = saved.at("row").as_integer("row");
  if (epoch < 0 || row < 0 || row > rows_) {
    throw Error(ErrorKind::range, "a position outside the data", {.field = "data position", .found = position});
  }
  epoch_ = epoch;
  place_ = row;
}

}  // namespace powerhouse::training
