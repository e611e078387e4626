// What a tokenizer makes of a text beside ids: offsets, masks, truncation and padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace powerhouse {

/// An end of a text or of a list of ids.
enum class Side { left, right };

/// Cuts ids down to a length. The words are those of `tokenizers`.
struct TruncationOptions {
  enum class Strategy {
    longest_first,  ///< of a pair, both down to the same length
    only_first,     ///< of a pair, the first text alone; Error{range} where that is too short
    only_second,    ///< of a pair, the second text alone
  };
  std::size_t max_length = 512;  ///< special tokens included
  Side side = Side::right;       ///< where ids are cut off
  Strategy strategy = Strategy::longest_first;
};

/// Fills lists of ids up to one length. Padding is 0 in `attention_mask`: build labels from that, never from the pad
/// id, which may be an id that also ends texts.
struct PaddingOptions {
  Side side = Side::right;               ///< where padding is put: left to generate, right to train
  std::optional<std::size_t> length{};   ///< none: the longest of the batch
  std::size_t multiple_of = 1;           ///< rounds the length up
  std::optional<std::int64_t> pad_id{};  ///< none: the tokenizer's pad token; Error{usage} where it has none
  std::int64_t pad_type_id = 0;
};

struct EncodingOptions {
  bool add_special_tokens = true;  ///< as EncodeOptions
  bool parse_special = true;       ///< as EncodeOptions
  bool offsets = true;             ///< fill in `offsets` and `byte_offsets`, which costs time
  std::optional<TruncationOptions> truncation{};
  std::optional<PaddingOptions> padding{};
};

/// The part of the text that a token stands for, from `begin` to before `end`.
struct TokenOffsets {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const TokenOffsets&, const TokenOffsets&) = default;
};

/// Ids and what belongs to them, one entry a token. Tokens that the text does not hold have the offsets {0, 0}.
struct Encoding {
  std::vector<std::int64_t> ids{};
  std::vector<std::int64_t> type_ids{};             ///< 0 for the first text, 1 for the second, as the template says
  std::vector<std::int64_t> attention_mask{};       ///< 0 for padding
  std::vector<std::int64_t> special_tokens_mask{};  ///< 1 for what the template added and for padding
  std::vector<TokenOffsets> offsets{};              ///< in characters (code points), as `tokenizers` reports them
  std::vector<TokenOffsets> byte_offsets{};         ///< the same in bytes of the text
};

}  // namespace powerhouse
