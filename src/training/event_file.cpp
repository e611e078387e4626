#include "training/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "powerhouse/error.h"
#include "support/crc32c.h"
#include "support/write_all.h"

namespace powerhouse {
namespace {

template <typename T>
void append_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes.data(), bytes.size());
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

// protobuf's wire format: a key is (field number << 3 | type) of 0 varint, 1 eight bytes, 2 length, 5 four bytes.
void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_double(std::string& out, int field, double value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 1);
  append_raw(out, value);
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "host";
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace

std::string tfrecord_frame(std::string_view bytes) {
  std::string frame;
  append_raw(frame, static_cast<std::uint64_t>(bytes.size()));
  append_raw(frame, masked_crc(frame));
  frame += bytes;
  append_raw(frame, masked_crc(bytes));
  return frame;
}

// Event: 1 wall_time, 2 step, 3 file_version, 5 summary. Summary: 1 value. Value: 1 tag, 2 simple_value.
std::string file_version_event(double wall_time) {
  std::string event;
  append_double(event, 1, wall_time);
  append_bytes(event, 3, "brain.Event:2");
  return event;
}

std::string scalars_event(double wall_time, std::int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    append_bytes(value, 1, tag);
    append_varint(value, 2 << 3 | 5);
    append_raw(value, static_cast<float>(number));
    append_bytes(summary, 1, value);
  }
  std::string event;
  append_double(event, 1, wall_time);
  append_varint(event, 2 << 3);
  append_varint(event, static_cast<std::uint64_t>(step));
  append_bytes(event, 5, summary);
  return event;
}

EventFile::EventFile(const std::string& folder) {
  std::error_code ignored;  // opening the file tells
  std::filesystem::create_directories(folder, ignored);
  const std::string stem = folder + "/events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now())) + "." +
                           host_name() + "." + std::to_string(::getpid());
  for (int number = 0; fd_ < 0; ++number) {
    path_ = stem + "." + std::to_string(number);
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) {
      fail_io(path_, "create");
    }
  }
  write_all(fd_, tfrecord_frame(file_version_event(now())), path_);
}

EventFile::~EventFile() {
  if (fd_ >= 0) ::close(fd_);
}

void EventFile::write(std::int64_t step, const Scalars& scalars) {
  write_all(fd_, tfrecord_frame(scalars_event(now(), step, scalars)), path_);
}

}  // namespace powerhouse
