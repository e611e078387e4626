// Budget: what one rendering may use. Templates come from the network; each is a program that we run.
//
// Steps bound the time: every evaluated node, every element, every 64 bytes that a builtin copies and every 2 that it
// reads by character are one step. Live bytes bound the memory: strings and containers charge themselves when they are
// made and give back when they die. Both limits grow with the input, so that a long conversation never meets them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse::jinja {

/// A failure inside a template; ChatTemplate makes it an Error with the line. Never leaves this room.
struct Failure {
  ErrorKind kind = ErrorKind::format;
  std::string message;
};

[[noreturn]] void fail(std::string message);
[[noreturn]] void fail(ErrorKind kind, std::string message);

constexpr std::size_t kMaxRange = 100000;       // of jinja2's sandbox
constexpr std::uint32_t kMaxValueDepth = 250;   // of lists in lists
constexpr std::uint32_t kMaxTreeDepth = 400;    // of one expression's syntax tree
constexpr std::uint32_t kMaxParserDepth = 200;  // of brackets in brackets and blocks in blocks
constexpr std::uint32_t kMaxCallDepth = 1200;   // of nodes under evaluation, macro calls included
constexpr std::size_t kMaxTemplateBytes = 4 << 20;

class Budget {
 public:
  static constexpr std::uint64_t kSteps = 10'000'000;  // under a second
  static constexpr std::uint64_t kBytes = 64 << 20;

  explicit Budget(std::size_t input_bytes, std::uint64_t steps = kSteps)
      : steps_left_(steps + 100 * input_bytes), bytes_left_(kBytes + 64 * input_bytes) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  void step(std::uint64_t count = 1) {
    if (steps_left_ < count) exhausted_time();
    steps_left_ -= count;
  }
  /// Time for reading or writing so many bytes.
  void step_bytes(std::size_t bytes) { step(1 + bytes / 64); }
  /// Time for looking at each character of so many bytes.
  void step_characters(std::size_t bytes) { step(1 + bytes / 2); }

  void hold(std::size_t bytes) {
    if (bytes_left_ < bytes) exhausted_memory();
    bytes_left_ -= bytes;
  }
  void release(std::size_t bytes) noexcept { bytes_left_ += bytes; }
  /// Fails where `count` elements of `size` bytes would not fit, before anything is allocated.
  void expect_room(std::size_t count, std::size_t size = 1) const {
    if (size != 0 && count > bytes_left_ / size) exhausted_memory();
  }

 private:
  friend class DepthGuard;
  [[noreturn]] static void exhausted_time();
  [[noreturn]] static void exhausted_memory();

  std::uint64_t steps_left_;
  std::uint64_t bytes_left_;
  std::uint32_t depth_ = 0;
};

/// Counts one level of recursion while it lives, and fails beyond kMaxCallDepth.
class DepthGuard {
 public:
  explicit DepthGuard(Budget& budget) : budget_(budget) {
    if (budget_.depth_ >= kMaxCallDepth) fail(ErrorKind::range, "the template recurses too deeply");
    ++budget_.depth_;
  }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  ~DepthGuard() { --budget_.depth_; }

 private:
  Budget& budget_;
};

/// Collects text that the budget has room for: the one way in which this room builds strings of unknown length.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;
  ~TextBuilder() { budget_.release(held_); }

  void append(std::string_view text) {
    if (text_.size() + text.size() > held_) grow(text.size());
    text_.append(text);
  }
  void append(char c) { append(std::string_view(&c, 1)); }
  void repeat(std::string_view text, std::size_t count) {
    if (text.empty()) return;
    budget_.expect_room(count, text.size());
    for (std::size_t i = 0; i < count; ++i) append(text);
  }
  Budget& budget() const { return budget_; }
  std::size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  std::string take() {
    budget_.release(held_);
    held_ = 0;
    return std::move(text_);
  }

 private:
  void grow(std::size_t more);

  Budget& budget_;
  std::string text_;
  std::size_t held_ = 0;
};

}  // namespace powerhouse::jinja
