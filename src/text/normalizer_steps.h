// The normalizers of tokenizer.json beside the normal forms and Precompiled: one small struct each.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "text/aligned_text.h"
#include "text/pattern.h"

namespace powerhouse {

struct LowercaseStep final : RewriteStep {
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
};

/// Drops the characters of one kind.
enum class Dropped {
  marks,       // StripAccents
  bert_marks,  // BertNormalizer's strip_accents, after NFD
};
struct DropStep final : RewriteStep {
  explicit DropStep(Dropped dropped) : dropped_(dropped) {}
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return false; }

 private:
  Dropped dropped_;
};

/// Nmt: control characters dropped, odd spaces made blanks.
struct NmtStep final : RewriteStep {
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return false; }
};

/// BertNormalizer's clean_text: control characters dropped, white space made blanks.
struct CleanStep final : RewriteStep {
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return false; }
};

/// BertNormalizer's handle_chinese_chars: blanks around each ideograph.
struct SpaceIdeographsStep final : RewriteStep {
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
};

/// Strip: white space at the ends.
struct TrimStep final : RewriteStep {
  TrimStep(bool left, bool right) : left_(left), right_(right) {}
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return !left_; }

 private:
  bool left_, right_;
};

struct PrependStep final : RewriteStep {
  /// `unless`: not where the text begins with the prefix already (ByteLevel's add_prefix_space).
  explicit PrependStep(std::string prefix, bool unless = false) : prefix_(std::move(prefix)), unless_(unless) {}
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;

 private:
  std::string prefix_;
  bool unless_;
};

/// Replace: each match of a text or a regular expression.
struct ReplaceStep final : RewriteStep {
  ReplaceStep(Pattern pattern, std::string content);
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return keeps_start_; }

 private:
  Pattern pattern_;
  std::string content_;
  bool keeps_start_;
};

/// Metaspace: blanks made the replacement, which is put before the text as the scheme says.
enum class PrependScheme { first, never, always };
struct MetaspaceStep final : RewriteStep {
  MetaspaceStep(char32_t replacement, PrependScheme scheme);
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;

 private:
  char32_t replacement_;
  std::string spelling_;
  PrependScheme scheme_;
};

/// Bytes spelled in the byte-level alphabet.
struct SpellBytesStep final : RewriteStep {
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
};

}  // namespace powerhouse
