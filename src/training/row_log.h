// train_log.jsonl and data_order.jsonl: a JSON object a line, each written whole the moment it is known, so that a
// killed run leaves at most one broken line, which a resumed run drops.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/json.h"

namespace powerhouse {

class RowLog {
 public:
  /// Opens `path` for adding rows. Of the rows that are there, those of steps up to `keep_steps` stay; a negative
  /// number keeps none. Throws Error{io}.
  RowLog(std::string path, std::int64_t keep_steps);
  RowLog(const RowLog&) = delete;
  RowLog& operator=(const RowLog&) = delete;
  ~RowLog();

  void write(const JsonObject& row);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
};

/// The whole rows of such a file, broken lines left out; none where there is no file.
std::vector<Json> read_rows(const std::string& path);

}  // namespace powerhouse
