// AlignedText: text on its way through the steps of a tokenizer, and where each of its bytes came from.
//
// Steps either cut a text (views into it) or rewrite it (TextBuilder, into a TextBuffer of the caller). Where offsets
// are not wanted, texts are not tracked and rewriting only writes text. Origins are those that `tokenizers` reports,
// its odd ones included: a character that a step adds stands for what the one before it stands for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

/// Bytes of the text that the caller gave.
struct Origin {
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct AlignedText {
  std::string_view text;
  bool tracked = false;
  const Origin* origins = nullptr;  // by byte; where tracked and null, bytes stand for themselves
  std::size_t start = 0;            // where the text begins in the original; exact where tracked
  std::size_t* budget = nullptr;    // bytes that rewriting may still write; none is no limit

  /// What an ordinary tokenizer never uses up on a text of `size` bytes: steps can double a text again and again.
  static std::size_t budget_for(std::size_t size) { return 64 * size + (std::size_t{1} << 18); }

  AlignedText slice(std::size_t begin, std::size_t end) const;
  /// The part of this text that `piece` is a view of.
  AlignedText slice(std::string_view piece) const {
    const auto begin = static_cast<std::size_t>(piece.data() - text.data());
    return slice(begin, begin + piece.size());
  }
  /// What the bytes from `begin` to `end` stand for. Only where tracked.
  Origin origin_of(std::size_t begin, std::size_t end) const;
  Origin origin_of_byte(std::size_t at) const;
};

struct TextBuffer {
  std::string text;
  std::vector<Origin> origins;

  /// This text in the place of `old`, from which it was made.
  AlignedText as(const AlignedText& old) const {
    return {text, old.tracked, old.tracked ? origins.data() : nullptr, old.start, old.budget};
  }
};

/// Writes a new text from an old one, character by character, each of them linked to the old text. Error{range} where
/// the budget is used up.
class TextBuilder {
 public:
  TextBuilder(const AlignedText& old, TextBuffer& out);
  ~TextBuilder();
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;

  /// A character that stands for the old one at byte `at`.
  void put(char32_t code_point, std::size_t at);
  /// A character added between the old ones: `next` is where the old text goes on.
  void insert(char32_t code_point, std::size_t next);
  void insert(std::string_view text, std::size_t next);
  /// The old bytes as they are.
  void copy(std::size_t begin, std::size_t end);

  // The same with the builder counting along the old text, for steps that reorder or compose.
  /// Passes over old characters that leave nothing.
  void skip(std::size_t characters);
  /// `change` 0: stands for the next old character; 1: added; -n: for the next one and the n after it.
  void edit(char32_t code_point, std::ptrdiff_t change);

 private:
  void append(char32_t code_point, Origin origin);
  void require_room(std::size_t bytes) const {
    if (out_.text.size() + bytes > limit_) refuse();
  }
  [[noreturn]] void refuse() const;

  const AlignedText& old_;
  TextBuffer& out_;
  std::size_t at_ = 0;
  std::size_t limit_;
};

/// A step that changes the text: a normalizer, or the part of a pre-tokenizer that does.
class RewriteStep {
 public:
  virtual ~RewriteStep() = default;
  /// Writes the new text; false, with nothing written, where the text stays as it is. The text is never empty.
  virtual bool rewrite(const AlignedText& text, TextBuffer& out) const = 0;
  /// Whether the first character left always stands for the first one of the text.
  virtual bool keeps_start() const { return true; }
};

}  // namespace powerhouse
