// Normalizer: the Unicode normalization forms, one after another. Composition tables are utf8proc's (Unicode 15).
//
// Canonical ordering is ours: utf8proc sorts marks by exchange, which a text of nothing but marks makes quadratic.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

class Normalizer {
 public:
  void append(NormalizationForm form) { forms_.push_back(form); }
  bool empty() const noexcept { return forms_.empty(); }

  /// The normalized text: `text` itself where nothing is to be done, else a view into `storage`. Valid UTF-8 only.
  std::string_view apply(std::string_view text, std::string& storage) const;

 private:
  std::vector<NormalizationForm> forms_;
};

}  // namespace powerhouse
