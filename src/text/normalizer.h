// Normalizer: steps that rewrite the text before it is cut, one after another (text/normalizer_steps.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"
#include "text/normal_forms.h"

namespace powerhouse {

class Normalizer {
 public:
  void append(std::unique_ptr<const RewriteStep> step) { steps_.push_back(std::move(step)); }
  void append(NormalizationForm form) { append(std::make_unique<NormalFormStep>(form)); }
  bool empty() const noexcept { return steps_.empty(); }

  /// The normalized text: `text` itself where nothing is to be done, else a view into `storage`. Valid UTF-8 only.
  std::string_view apply(std::string_view text, std::string& storage) const;
  /// The same with origins, a view into `storage` or `text`.
  AlignedText apply(const AlignedText& text, TextBuffer& storage) const;
  /// Whether the first character left always stands for the first one of the text.
  bool keeps_start() const;

 private:
  std::vector<std::unique_ptr<const RewriteStep>> steps_;
};

}  // namespace powerhouse
