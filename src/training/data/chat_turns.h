// Where a turn stands in the text that a template makes of a conversation: the text is compared with that of the same
// conversation in which the turn says something else (Axolotl's way, on characters rather than tokens).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "powerhouse/chat.h"
#include "powerhouse/encoding.h"
#include "support/json.h"

namespace powerhouse::training {

/// The bytes of `text` (the rendering of all messages) that message `turn` alone makes: its content, thoughts and
/// calls, not what the template writes around every message of its role. An empty span where it says nothing; nothing
/// where the template leaves it out.
std::optional<TextSpan> find_turn(const ChatTemplate& chat_template, const Json::Array& messages, std::size_t turn,
                                  std::string_view text, const RenderOptions& options);

/// The tokens [first, last) that hold a byte of the span; first == last where none does.
TextSpan tokens_of(std::span<const TokenOffsets> byte_offsets, TextSpan span);

}  // namespace powerhouse::training
