#include "training/data/row_sources.h"

#include <limits>

#include "powerhouse/error.h"

namespace powerhouse::training {

void check_sources(const std::vector<DatasetSource>& sources, double val_set_size) {
  if (sources.empty()) throw Error(ErrorKind::usage, "no data", {.field = "datasets"});
  if (val_set_size >= 0) return;
  throw Error(ErrorKind::usage, "a negative number of rows",
              {.field = "val_set_size", .found = std::to_string(val_set_size)});
}

void check_row_count(std::int64_t rows) {
  if (rows <= std::numeric_limits<std::uint32_t>::max()) return;
  throw Error(ErrorKind::unsupported, "more rows than 32 bits count", {.found = std::to_string(rows)});
}

std::set<std::int64_t> end_tokens(const Tokenizer& tokenizer) {
  std::set<std::int64_t> ends;
  for (const std::int64_t id : tokenizer.end_of_generation_ids()) ends.insert(id);
  if (const auto eos = tokenizer.eos_token_id()) ends.insert(*eos);
  return ends;
}

bool has_doubled_bos(std::span<const std::int64_t> ids, std::optional<std::int64_t> bos) {
  return bos && ids.size() > 1 && ids[0] == *bos && ids[1] == *bos;
}

}  // namespace powerhouse::training
