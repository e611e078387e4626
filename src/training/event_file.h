// TensorBoard's event files: TFRecord frames (length, masked CRC-32C of it, bytes, masked CRC-32C of them) around Event
// messages of tensorflow/core/util/event.proto, of which two fields are ever written: the file's version and scalars.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace powerhouse {

using Scalars = std::vector<std::pair<std::string, double>>;

/// One frame, and the two kinds of Event; for EventFile and its test.
std::string tfrecord_frame(std::string_view bytes);
std::string file_version_event(double wall_time);
std::string scalars_event(double wall_time, std::int64_t step, const Scalars& scalars);

class EventFile {
 public:
  /// Makes `folder` and a new file in it, named as TensorBoard looks for: events.out.tfevents.<time>.<host>.<pid>.
  explicit EventFile(const std::string& folder);
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  ~EventFile();

  void write(std::int64_t step, const Scalars& scalars);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace powerhouse
