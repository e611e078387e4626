// chat_template and sharegpt: the template's text, and as targets what the trained roles say in it, with the end of
// their turns. From {% generation %} blocks where the template has them, else turn by turn (chat_turns.h).
#include <algorithm>
#include <array>
#include <set>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "training/data/chat_messages.h"
#include "training/data/chat_turns.h"
#include "training/data/columns.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

// Between a turn's text and its end-of-text token a template may write this many tokens (Axolotl's number).
constexpr std::size_t kPadding = 3;

bool has_generation_blocks(std::string_view source) {
  for (std::size_t at = source.find("{%"); at != std::string_view::npos; at = source.find("{%", at + 2)) {
    const std::size_t word = source.find_first_not_of("-+ \t\r\n", at + 2);
    if (word != std::string_view::npos && source.substr(word).starts_with("generation")) return true;
  }
  return false;
}

class Chat final : public Shape {
 public:
  Chat(const Tokenizer& tokenizer, const DatasetSource& source, const DatasetOptions& options)
      : tokenizer_(tokenizer),
        template_(chat_template_of(tokenizer, source, options)),
        messages_(source),
        train_on_eos_(source.train_on_eos),
        train_on_inputs_(options.train_on_inputs),
        field_training_(source.message_field_training) {
    for (const std::string& role : source.roles_to_train) roles_to_train_.insert(messages_.role(role));
    if (const auto eos = tokenizer.eos_token_id()) ends_.front().insert(*eos);
    for (const std::string& token : options.eot_tokens) {
      const auto id = tokenizer.token_to_id(token);
      if (!id) throw Error(ErrorKind::usage, "no token of the tokenizer", {.field = "eot_tokens", .found = token});
      ends_.back().insert(*id);
    }
    const bool blocks = has_generation_blocks(template_.source());
    const bool assistant =
        roles_to_train_ == std::set<std::string>{"assistant"} && field_training_.empty() && !train_on_inputs_;
    if (source.turn_mask == TurnMask::generation && !blocks) {
      throw Error(ErrorKind::usage, "the chat template has no {% generation %} block",
                  {.file = source.path, .field = "turn_mask"});
    }
    by_blocks_ =
        source.turn_mask == TurnMask::generation || (source.turn_mask == TurnMask::automatic && blocks && assistant);
  }

  ShapedRow apply(const Record& row) const override {
    const Conversation conversation = messages_.read(row.columns);
    const std::string json = Json(conversation.messages).dump();
    const RenderOptions options{.tools = conversation.tools, .omit_null = true};
    ShapedRow out;
    if (by_blocks_) {
      RenderOptions with_mask = options;
      with_mask.return_assistant_tokens_mask = true;
      EncodedChat chat = template_.encode(tokenizer_, json, with_mask);
      out.example.input_ids = std::move(chat.ids);
      mark_blocks(out, chat.assistant_mask);
    } else {
      const std::string text = template_.render(json, options);
      const Encoding encoding = tokenizer_.encode_full(text, {.add_special_tokens = false});
      out.example.input_ids = encoding.ids;
      mark_turns(out, conversation.messages, text, encoding.byte_offsets, options);
    }
    return out;
  }

  std::string content(const Record& row) const override {
    const Conversation conversation = messages_.read(row.columns);
    std::string out;
    append_part(out, conversation.tools);
    append_messages(out, conversation.messages);
    return out;
  }

 private:
  bool trains(const Json& message) const {
    if (!field_training_.empty()) {
      if (const Json* flag = message.get(field_training_)) return flag->as_bool(field_training_);
    }
    return train_on_inputs_ || roles_to_train_.contains(message.at("role").as_string());
  }

  bool is_end(std::int64_t id) const { return ends_.front().contains(id) || ends_.back().contains(id); }

  // Where the last turn ended by EOS, and where by an end-of-turn token; the number of tokens where none did.
  using LastEnds = std::array<std::size_t, 2>;

  // Labels what closes a turn whose text ends before token `end`: the first EOS and the first end-of-turn token behind
  // it, if they stand near.
  void close(ShapedRow& out, std::size_t end, bool train, LastEnds& last) const {
    const auto& ids = out.example.input_ids;
    for (std::size_t kind = 0; kind < ends_.size(); ++kind) {
      std::size_t at = end;
      while (at < ids.size() && at <= end + kPadding && !ends_[kind].contains(ids[at])) ++at;
      if (at >= ids.size() || at > end + kPadding) continue;
      last[kind] = at;
      if (train_on_eos_ == TrainOnEos::all || (train_on_eos_ == TrainOnEos::turn && train))
        out.example.labels[at] = ids[at];
    }
  }

  void close_last(ShapedRow& out, const LastEnds& last) const {
    if (train_on_eos_ != TrainOnEos::last) return;
    for (const std::size_t at : last) {
      if (at < out.example.labels.size()) out.example.labels[at] = out.example.input_ids[at];
    }
  }

  void mark_turns(ShapedRow& out, const Json::Array& messages, std::string_view text,
                  std::span<const TokenOffsets> offsets, const RenderOptions& options) const {
    const auto& ids = out.example.input_ids;
    auto& labels = out.example.labels;
    labels.assign(ids.size(), kIgnoredTarget);
    LastEnds last{ids.size(), ids.size()};
    bool trained = false, said = false;
    for (std::size_t turn = 0; turn < messages.size(); ++turn) {
      const bool train = trains(messages[turn]);
      if (!train && train_on_eos_ != TrainOnEos::all) continue;
      trained = trained || train;
      const auto span = find_turn(template_, messages, turn, text, options);
      if (!span) out.lost_turn = out.lost_turn || train;
      if (!span || span->begin == span->end) continue;
      const TextSpan tokens = tokens_of(offsets, *span);
      if (train) {
        for (std::size_t i = tokens.begin; i < tokens.end; ++i) labels[i] = ids[i];
        said = said || tokens.begin < tokens.end;
      }
      close(out, tokens.end, train, last);
    }
    close_last(out, last);
    out.empty_target = trained && !said && !out.lost_turn;
  }

  void mark_blocks(ShapedRow& out, const std::vector<std::uint8_t>& mask) const {
    const auto& ids = out.example.input_ids;
    auto& labels = out.example.labels;
    labels.assign(ids.size(), kIgnoredTarget);
    LastEnds last{ids.size(), ids.size()};
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (mask[i] == 0) continue;
      labels[i] = ids[i];
      if (i + 1 < ids.size() && mask[i + 1] != 0) continue;
      // Blocks close their turns as a rule; where the template writes the end behind the block, it belongs to it.
      const std::size_t first = i + 1 - std::min(i + 1, kPadding);
      if (std::none_of(ids.begin() + static_cast<std::ptrdiff_t>(first),
                       ids.begin() + static_cast<std::ptrdiff_t>(i) + 1, [&](std::int64_t id) { return is_end(id); })) {
        close(out, i + 1, true, last);
      }
    }
    close_last(out, last);
  }

  Tokenizer tokenizer_;
  ChatTemplate template_;
  ChatMessages messages_;
  std::set<std::string> roles_to_train_;
  std::array<std::set<std::int64_t>, 2> ends_;  // EOS; the ends of turns beside it
  TrainOnEos train_on_eos_;
  bool train_on_inputs_;
  std::string field_training_;
  bool by_blocks_ = false;
};

}  // namespace

std::unique_ptr<Shape> make_chat(const Tokenizer& tokenizer, const DatasetSource& source,
                                 const DatasetOptions& options) {
  return std::make_unique<Chat>(tokenizer, source, options);
}

}  // namespace powerhouse::training
