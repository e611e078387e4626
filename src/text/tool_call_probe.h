// ToolCallProbe: small conversations through a template, whose calls are unmistakable.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "powerhouse/chat.h"
#include "support/json.h"

namespace powerhouse {

inline constexpr std::string_view kProbeNames[] = {"qzone_fn", "qztwo_fn"};
inline constexpr std::string_view kProbeIds[] = {"qzid00001", "qzid00002"};  // nine letters and digits, as Mistral asks
inline constexpr std::string_view kProbeKeys[] = {"qzkeya", "qzkeyb"};
inline constexpr std::string_view kProbeValues[] = {"qzva one", "qzvb two"};

Json json_object(std::initializer_list<std::pair<std::string_view, Json>> members);

std::size_t common_prefix(std::string_view a, std::string_view b);
std::size_t common_suffix(std::string_view a, std::string_view b);
/// Whether a cut at `at` would go through <...>.
bool inside_tag(std::string_view text, std::size_t at);

class ToolCallProbe {
 public:
  /// Must not outlive the template.
  explicit ToolCallProbe(const ChatTemplate& chat_template);

  /// How arguments and content are given from here on: templates differ in what they take.
  void give(bool arguments_as_text, Json content) {
    as_text_ = arguments_as_text;
    content_ = std::move(content);
  }

  struct Body {
    std::string calls;     // what a message of calls consists of, from where it differs from one of text
    std::string turn_end;  // what follows
  };
  /// Of so many calls with these arguments; nothing where the template refuses or drops them.
  std::optional<Body> body(std::size_t count, const Json& arguments);

  /// Whether any call was written.
  bool seen() const { return seen_; }
  /// What the template refused last.
  const std::string& failure() const { return failure_; }

 private:
  std::optional<std::string> render(const Json& assistant);
  std::optional<std::string> render(std::size_t count, const Json& arguments);

  const ChatTemplate& template_;
  std::string tools_;
  std::string prompt_ = "\n";  // none begins with it
  bool as_text_ = false;
  Json content_{};
  bool seen_ = false;
  std::string failure_{};
};

}  // namespace powerhouse
