#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "powerhouse/error.h"
#include "text/regex_syntax.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMaxPattern = 1 << 16;
constexpr std::uint32_t kMatchLimit = 10'000'000;  // PCRE2's own default
constexpr std::uint32_t kDepthLimit = 100'000;
constexpr std::uint32_t kHeapLimitKiB = 64 * 1024;
constexpr std::size_t kJitStack = 1 << 20;
constexpr std::size_t kStartsBetweenLooks = 256;

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

struct ContextDeleter {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

// What matching needs beside the pattern. One for each thread: a stack is a mapping of its own, and mapping it for each
// text took 95 % of the time on short ones (10 s instead of 0.6 s for 6.7 MB cut into words).
struct Scratch {
  std::unique_ptr<pcre2_jit_stack, ContextDeleter> stack{pcre2_jit_stack_create(1 << 15, kJitStack, nullptr)};
  std::unique_ptr<pcre2_match_context, ContextDeleter> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_match_data, ContextDeleter> data{pcre2_match_data_create(1, nullptr)};  // no groups

  Scratch() {
    if (!context || !data || !stack) throw Error(ErrorKind::memory, "no memory for a regular expression");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

const Scratch& scratch_of_this_thread() {
  thread_local const Scratch scratch;
  return scratch;
}

struct Clock {
  bool runs = false;
  double limit = 0;  // seconds of processor time
  double start = 0;
  std::chrono::steady_clock::time_point next_look;
};
thread_local Clock regex_clock;
constexpr std::chrono::milliseconds kBetweenLooks{50};

double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

RegexTime::RegexTime(std::size_t bytes) : outermost_(!regex_clock.runs) {
  if (!outermost_) return;
  regex_clock = {true, 0.5 + 4e-6 * static_cast<double>(bytes), processor_time(),
                 std::chrono::steady_clock::now() + kBetweenLooks};
}

RegexTime::~RegexTime() {
  if (outermost_) regex_clock.runs = false;
}

bool RegexTime::is_up() {
  const auto now = std::chrono::steady_clock::now();
  if (now < regex_clock.next_look) return false;
  regex_clock.next_look = now + kBetweenLooks;
  return processor_time() - regex_clock.start > regex_clock.limit;
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern) : pattern_(pattern), code_(std::make_unique<Code>()) {
  const auto refuse = [&](std::string found) {
    throw Error(ErrorKind::format, "a regular expression does not compile",
                {.field = "pattern \"" + pattern_.substr(0, 200) + "\"", .found = std::move(found)});
  };
  if (pattern.size() > kMaxPattern) refuse(std::to_string(pattern.size()) + " bytes");
  const std::string translated = pcre_from_oniguruma(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_compile_context, ContextDeleter> context(pcre2_compile_context_create(nullptr));
  if (!context) throw Error(ErrorKind::memory, "no memory for a regular expression");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // Ruby's ^ and $ are those of lines. One call tries some hundred starts only: each may read to the end of the text,
  // and all of them in one call would be as the square of its length without a look at the clock.
  code_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT, &error, &offset, context.get());
  if (code_->code == nullptr) refuse(message_of(error) + " at " + std::to_string(offset));
  // Without JIT (a system that forbids it) matching is slower and gives the same.
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
}

Regex::~Regex() = default;

std::vector<MatchRange> Regex::find_all(std::string_view text) const {
  const Scratch& scratch = scratch_of_this_thread();
  const RegexTime time(text.size());
  const auto refuse = [&](std::string found) {
    throw Error(ErrorKind::range, "a regular expression takes too long on this text",
                {.field = "pattern \"" + pattern_.substr(0, 200) + "\"", .found = std::move(found)});
  };

  std::vector<MatchRange> found;
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t last_start = from + std::min(text.size() - from, kStartsBetweenLooks);
    pcre2_set_offset_limit(scratch.context.get(), last_start);
    const auto match = [&](std::uint32_t options) {
      return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                         options | PCRE2_NO_UTF_CHECK, scratch.data.get(), scratch.context.get());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH) refuse(message_of(result));
    if (RegexTime::is_up()) refuse("the time for a text of this length");
    if (result == PCRE2_ERROR_NOMATCH) {
      from = last_start + 1;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
      continue;
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(scratch.data.get());
    const MatchRange range{ends[0], ends[1]};
    if (range.start == range.end && !found.empty() && found.back().end == range.end) {
      from = range.end < text.size() ? range.end + unicode::sequence_length(text[range.end]) : text.size() + 1;
      continue;
    }
    found.push_back(range);
    from = range.end;
  }
  return found;
}

std::optional<StreamMatch> Regex::find_in_stream(std::string_view text, std::size_t from, bool ends) const {
  const Scratch& scratch = scratch_of_this_thread();
  pcre2_set_offset_limit(scratch.context.get(), PCRE2_UNSET);
  const std::uint32_t options = PCRE2_NO_UTF_CHECK | (ends ? 0u : PCRE2_PARTIAL_HARD);
  const auto match = [&](std::uint32_t more) {
    return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options | more,
                       scratch.data.get(), scratch.context.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return {};
  if (result < 0 && result != PCRE2_ERROR_PARTIAL) {
    throw Error(ErrorKind::range, "a regular expression takes too long on this text",
                {.field = "pattern \"" + pattern_.substr(0, 200) + "\"", .found = message_of(result)});
  }
  return StreamMatch{.start = pcre2_get_ovector_pointer(scratch.data.get())[0],
                     .complete = result != PCRE2_ERROR_PARTIAL};
}

}  // namespace powerhouse
