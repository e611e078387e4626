// JsonScanner: reads JSON text from left to right without building values. A tokenizer's vocabulary and merges are most
// of its file (17 MB in Llama 3's); read through this they load several times faster than as a Json.
//
// Strict about what it reads, and only steps over what it skips: whoever skips must have that part parsed elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace powerhouse {

class JsonScanner {
 public:
  /// `origin` names the text in errors, `base` is added to the byte offsets there.
  JsonScanner(std::string_view text, std::string_view origin, std::size_t base = 0)
      : text_(text), origin_(origin), base_(base) {}

  std::size_t position() const noexcept { return at_; }
  /// The next character that is no white space, or '\0' at the end.
  char peek() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return c;
      ++at_;
    }
    return '\0';
  }
  /// Takes `wanted`, or Error{format}.
  void expect(char wanted) {
    if (!take(wanted)) fail_expected(wanted);
  }
  /// Takes `wanted` where it comes next.
  bool take(char wanted) {
    if (peek() != wanted || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  /// A string, unescaped into `storage` where it has escapes, else a view into the text. Its UTF-8 is checked.
  std::string_view string(std::string& storage);
  /// An integer without fraction or exponent.
  std::int64_t integer();
  /// A number, to the last place as `tokenizers` reads it from a file.
  double number();
  /// Steps over one value of any kind; brackets within must balance.
  void skip_value();
  [[noreturn]] void fail(std::string_view what) const;

 private:
  [[noreturn]] void fail_expected(char wanted) const;
  void skip_string();
  void unescape(std::string& storage);
  char32_t hex4();

  std::string_view text_;
  std::string origin_;
  std::size_t base_;
  std::size_t at_ = 0;
};

}  // namespace powerhouse
