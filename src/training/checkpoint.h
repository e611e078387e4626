// checkpoint-N/: a folder that is whole or not there.
//
// Its files are written under a temporary name beside it, flushed, and listed with sizes and checksums in
// trainer_state.json, which is written last; then the folder is renamed. What a kill, a full disk or a damaged disk
// leaves is told by that list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/json.h"

namespace powerhouse {

/// output_dir/checkpoint-N.
std::string checkpoint_path(const std::string& output_dir, std::int64_t step);

class CheckpointWriter {
 public:
  /// Makes the temporary folder in `output_dir`, which is made too. Throws Error{io}.
  CheckpointWriter(const std::string& output_dir, std::int64_t step);
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  ~CheckpointWriter();  // removes the folder unless commit() succeeded

  /// Where to write the files, each flushed to disk (AtomicFile).
  const std::string& folder() const { return folder_; }
  /// Lists the files in `state`, writes it, and renames; an older checkpoint of this step is replaced. Gives the path.
  std::string commit(JsonObject state);

 private:
  std::string target_, folder_;
  bool committed_ = false;
};

/// The state of a whole checkpoint. Error{not_found} where there is none; Error{format} naming the file that is
/// missing, damaged or of another size.
JsonObject read_checkpoint(const std::string& folder);

struct CheckpointPlace {
  std::string path;
  std::int64_t step = 0;
  std::int64_t saved_at = 0;  // microseconds
  std::string run_id;
};
/// Those of a folder whose state can be read, the latest saved first; their files are not looked at.
std::vector<CheckpointPlace> list_checkpoints(const std::string& output_dir);
struct WholeCheckpoint {
  std::string path;
  JsonObject state;  // as read_checkpoint gives it
};
/// The latest that is whole; of those that are not, a warning.
std::optional<WholeCheckpoint> latest_whole_checkpoint(const std::string& output_dir);

/// Removes a checkpoint, so that at no time half of it has its name.
void remove_checkpoint(const std::string& path);
/// Removes what killed runs left under temporary names.
void remove_unfinished_checkpoints(const std::string& output_dir);

std::int64_t microseconds_now();

}  // namespace powerhouse
