// The Unicode normalization forms as `tokenizers` applies them: the Unicode 9 of its unicode-normalization-alignments.
//
// Data are utf8proc's, less what came after that version. Ordering and composing are ours: they say of each character
// which old ones it stands for, and a text of nothing but marks takes no quadratic time.
#pragma once

#include "text/aligned_text.h"

namespace powerhouse {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

class NormalFormStep final : public RewriteStep {
 public:
  explicit NormalFormStep(NormalizationForm form) : form_(form) {}
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;

 private:
  NormalizationForm form_;
};

}  // namespace powerhouse
