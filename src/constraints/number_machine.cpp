#include "constraints/number_machine.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kDigits = 16;       // of a whole number without an upper bound
constexpr std::size_t kExactDigits = 15;  // that a double tells apart
constexpr std::size_t kMaxDigits = 330;
constexpr std::size_t kMaxNumberStates = 100'000;

// Numbers that are not negative. A state knows how much was written and whether that is a bound's own beginning, in
// which case the next digit is bounded too.
class Digits {
 public:
  Digits(Grammar& grammar, const NumberBounds& bounds, const Bound& low, const std::optional<Bound>& high)
      : grammar_(grammar), bounds_(bounds), low_(low), high_(high) {
    for (unsigned char digit = 0; digit < 10; ++digit) {
      digit_[digit] = CodePoints::of(U'0' + digit);
    }
  }

  ExprId run() {
    machine_.start = machine_.add_state();
    const std::size_t least = low_.value.whole.size();
    const std::size_t most = high_ ? high_->value.whole.size() : std::max(kDigits, least + 1);
    if (most > kMaxDigits) throw Error(ErrorKind::range, "a number has too many digits");
    for (std::size_t length = least; length <= most; ++length) {
      const Key begin{.length = length, .at_low = length == least, .at_high = high_ && length == most};
      for (unsigned char digit = length > 1 ? 1 : 0; digit < 10; ++digit) write(machine_.start, begin, digit);
    }
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const Key key = keys_[i];
      const auto from = static_cast<std::uint32_t>(i + 1);
      const bool whole = !key.fraction && key.written == key.length;
      machine_.accepting[from] = (key.fraction ? key.written > 0 : whole) && within(key) && key.rest == 0;
      if (whole && !bounds_.whole && fraction_digits(key) > 0) {
        Key next = key;
        next.fraction = true;
        next.written = 0;
        machine_.steps.push_back({.from = from, .to = state(next), .what = grammar_.literal(".")});
      }
      if (whole || (key.fraction && key.written == fraction_digits(key))) continue;
      for (unsigned char digit = 0; digit < 10; ++digit) write(from, key, digit);
    }
    for (const auto& [ends, set] : steps_) {
      machine_.steps.push_back({.from = ends.first, .to = ends.second, .what = grammar_.characters(set)});
    }
    return grammar_.machine(std::move(machine_));
  }

 private:
  struct Key {
    std::size_t length = 0;   // digits of the whole part
    std::size_t written = 0;  // of this part
    bool fraction = false, at_low = false, at_high = false;
    std::int64_t rest = 0;  // of what was written, by multiple_of
    auto operator<=>(const Key&) const = default;
  };

  static char digit_of(const Decimal& value, const Key& key) {
    if (!key.fraction) return value.whole[key.written];
    return key.written < value.fraction.size() ? value.fraction[key.written] : '0';
  }
  std::size_t fraction_digits(const Key& key) const {
    const std::size_t exact = kExactDigits > key.length ? kExactDigits - key.length : 0;
    return std::max({exact, low_.value.fraction.size(), high_ ? high_->value.fraction.size() : 0});
  }

  // Whether the number may end here.
  bool within(const Key& key) const {
    const std::size_t written = key.fraction ? key.written : 0;
    if (key.at_low && (written < low_.value.fraction.size() || low_.exclusive)) return false;
    return !key.at_high || written < high_->value.fraction.size() || !high_->exclusive;
  }

  void write(std::uint32_t from, const Key& key, unsigned char digit) {
    const char character = static_cast<char>('0' + digit);
    Key next = key;
    if (key.at_low) {
      const char bound = digit_of(low_.value, key);
      if (character < bound) return;
      next.at_low = character == bound;
    }
    if (key.at_high) {
      const char bound = digit_of(high_->value, key);
      if (character > bound) return;
      next.at_high = character == bound;
    }
    ++next.written;
    if (!key.fraction) next.rest = (key.rest * 10 + digit) % bounds_.multiple_of;
    const std::pair<std::uint32_t, std::uint32_t> ends{from, state(next)};
    const auto [found, fresh] = steps_.try_emplace(ends, digit_[digit]);
    if (!fresh) found->second = found->second.united(digit_[digit]);
  }

  std::uint32_t state(const Key& key) {
    const auto [found, fresh] = states_.try_emplace(key, machine_.size);
    if (fresh) {
      if (machine_.size >= kMaxNumberStates) throw Error(ErrorKind::range, "a number's bounds explode");
      keys_.push_back(key);
      machine_.add_state();
    }
    return found->second;
  }

  Grammar& grammar_;
  const NumberBounds& bounds_;
  Bound low_;
  std::optional<Bound> high_;
  std::array<CodePoints, 10> digit_;
  Machine machine_;
  std::map<Key, std::uint32_t> states_;
  std::vector<Key> keys_;  // of state i + 1
  std::map<std::pair<std::uint32_t, std::uint32_t>, CodePoints> steps_;
};

}  // namespace

ExprId number_between(Grammar& grammar, const NumberBounds& bounds) {
  std::vector<ExprId> parts;
  const Bound zero{};
  if (!bounds.high || !bounds.high->value.negative) {
    const bool from_zero = !bounds.low || bounds.low->value.negative;
    parts.push_back(Digits(grammar, bounds, from_zero ? zero : *bounds.low, bounds.high).run());
  }
  if (!bounds.low || bounds.low->value.negative) {
    // Below zero, with the bounds' roles exchanged; zero itself has no sign.
    Bound low{.exclusive = true};
    if (bounds.high && bounds.high->value.negative) low = {bounds.high->value.negated(), bounds.high->exclusive};
    std::optional<Bound> high;
    if (bounds.low) high = Bound{bounds.low->value.negated(), bounds.low->exclusive};
    parts.push_back(grammar.sequence({grammar.literal("-"), Digits(grammar, bounds, low, high).run()}));
  }
  return grammar.choice(std::move(parts));
}

}  // namespace powerhouse::constraints
