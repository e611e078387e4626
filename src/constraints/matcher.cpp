// ConstraintMatcher: a place in a constraint's states. States are forgotten when they take too much room, and found
// again by the tokens.
#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "constraints/engine.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

using constraints::State;
using constraints::StateSpace;

}  // namespace

/// The constraint, locked, with the matcher's states as they are now numbered.
struct ConstraintMatcher::Access {
  explicit Access(ConstraintMatcher& matcher) : matcher(matcher), impl(*matcher.constraint_.impl()), lock(impl.mutex) {
    impl.states.clear_if_full();
    if (matcher.epoch_ == impl.states.epoch()) return;
    matcher.epoch_ = impl.states.epoch();
    matcher.states_.assign(1, impl.states.start());
    for (std::size_t i = 0; i < matcher.tokens_.size() - (matcher.ended_ ? 1 : 0); ++i) {
      matcher.states_.push_back(impl.step(matcher.states_.back(), matcher.tokens_[i], i == 0));
    }
  }

  State state() const { return matcher.states_.back(); }
  bool first() const { return matcher.states_.size() == 1; }
  bool is_end(std::int64_t token) const {
    return std::find(matcher.end_ids_.begin(), matcher.end_ids_.end(), token) != matcher.end_ids_.end();
  }
  /// An end that the grammar names itself is a step of it before it is an end: a call may end with a token that ends
  /// the text too.
  bool is_named(std::int64_t token) const {
    bool named = false;
    if (!impl.automaton.has_tokens()) return false;
    impl.states.each_token(state(), [&](std::int64_t id, bool negated) { named |= id == token && !negated; });
    return named;
  }
  bool complete() const { return matcher.ended_ || impl.states.accepts(state()); }
  Constraint::Impl::Mask mask() const { return impl.mask(matcher.ended_ ? StateSpace::kDead : state(), first()); }

  ConstraintMatcher& matcher;
  Constraint::Impl& impl;
  std::lock_guard<std::mutex> lock;
};

ConstraintMatcher::ConstraintMatcher(const Constraint& constraint)
    : ConstraintMatcher(constraint, constraint.tokenizer().end_of_generation_ids()) {}

ConstraintMatcher::ConstraintMatcher(const Constraint& constraint, std::span<const std::int64_t> end_ids)
    : constraint_(constraint), end_ids_(end_ids.begin(), end_ids.end()) {}

std::vector<std::uint64_t> ConstraintMatcher::allowed() {
  const Access access(*this);
  std::vector<std::uint64_t> bits = *access.mask();
  for (const std::int64_t id : end_ids_) {
    const auto at = static_cast<std::size_t>(id);
    if (id < 0 || at / 64 >= bits.size()) continue;
    const std::uint64_t bit = std::uint64_t{1} << (at % 64);
    const bool may_come = !ended_ && (access.complete() || access.is_named(id));
    bits[at / 64] = may_come ? bits[at / 64] | bit : bits[at / 64] & ~bit;
  }
  return bits;
}

void ConstraintMatcher::mask(std::span<float> logits) {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  const std::vector<std::uint64_t> bits = allowed();
  if (std::all_of(bits.begin(), bits.end(), [](std::uint64_t word) { return word == 0; })) {
    if (ended_) throw Error(ErrorKind::usage, "a text has ended", {.field = "constraint"});
    throw Error(ErrorKind::unsupported, "no token of the vocabulary goes on as the constraint wants it",
                {.field = "constraint", .found = std::to_string(tokens_.size()) + " tokens"});
  }
  for (std::size_t word = 0; word * 64 < logits.size(); ++word) {
    const std::span<float> row = logits.subspan(word * 64, std::min<std::size_t>(64, logits.size() - word * 64));
    std::uint64_t forbidden = word < bits.size() ? ~bits[word] : ~std::uint64_t{0};
    if (forbidden == ~std::uint64_t{0}) {
      std::fill(row.begin(), row.end(), kForbidden);
      continue;
    }
    for (; forbidden != 0; forbidden &= forbidden - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(forbidden));
      if (i < row.size()) row[i] = kForbidden;
    }
  }
}

bool ConstraintMatcher::allows(std::int64_t token) {
  const Access access(*this);
  if (ended_ || token < 0 || static_cast<std::size_t>(token) >= access.impl.vocabulary()) return false;
  if (access.is_end(token)) return access.complete() || access.is_named(token);
  return access.impl.step(access.state(), token, access.first()) != StateSpace::kDead;
}

void ConstraintMatcher::accept(std::int64_t token) {
  const Access access(*this);
  const auto refuse = [&](std::string_view what) {
    throw Error(ErrorKind::usage, what, {.field = "token", .found = std::to_string(token)});
  };
  if (ended_) refuse("a text has ended");
  if (access.is_end(token) && !access.is_named(token)) {
    if (!access.complete()) refuse("the constraint does not let the text end here");
    ended_ = true;
  } else {
    const State next = access.impl.step(access.state(), token, access.first());
    if (next == StateSpace::kDead) refuse("the constraint does not allow this token");
    states_.push_back(next);
  }
  tokens_.push_back(token);
}

void ConstraintMatcher::rollback(std::size_t count) {
  const Access access(*this);
  if (count > tokens_.size()) {
    throw Error(
        ErrorKind::usage, "fewer tokens were taken",
        {.field = "count", .expected = "at most " + std::to_string(tokens_.size()), .found = std::to_string(count)});
  }
  if (count == 0) return;
  states_.resize(states_.size() - (count - (ended_ ? 1 : 0)));
  tokens_.resize(tokens_.size() - count);
  ended_ = false;
}

bool ConstraintMatcher::is_complete() { return Access(*this).complete(); }

bool ConstraintMatcher::is_finished() {
  const Access access(*this);
  return access.complete() && (ended_ || !access.impl.states.goes_on(access.state()));
}

}  // namespace powerhouse
