#include "text/jinja_big_integer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <tuple>

namespace powerhouse::jinja {
namespace {

constexpr std::uint64_t kBase = 1000000000;
constexpr std::size_t kLimbDigits = 9;

}  // namespace

BigInteger::BigInteger(std::int64_t value) : negative_(value < 0) {
  std::uint64_t rest =
      negative_ ? std::uint64_t{0} - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  for (; rest > 0; rest /= kBase) limbs_.push_back(static_cast<std::uint32_t>(rest % kBase));
}

BigInteger::BigInteger(std::string_view digits) : negative_(digits.starts_with('-')) {
  if (negative_) digits.remove_prefix(1);
  limbs_.reserve(digits.size() / kLimbDigits + 1);
  while (!digits.empty()) {
    const std::size_t count = std::min(digits.size(), kLimbDigits);
    std::uint32_t limb = 0;
    for (const char c : digits.substr(digits.size() - count)) limb = limb * 10 + static_cast<std::uint32_t>(c - '0');
    limbs_.push_back(limb);
    digits.remove_suffix(count);
  }
  trim();
}

BigInteger BigInteger::truncate(double value) {
  char text[400];
  std::snprintf(text, sizeof text, "%.0f", value);  // whole already where it has more than 53 bits
  return BigInteger(std::string_view(text));
}

void BigInteger::trim() {
  while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
  if (limbs_.empty()) negative_ = false;
}

std::size_t BigInteger::digits() const {
  if (limbs_.empty()) return 1;
  return (limbs_.size() - 1) * kLimbDigits + std::to_string(limbs_.back()).size();
}

std::optional<std::int64_t> BigInteger::small() const {
  if (limbs_.size() > 3) return std::nullopt;
  std::int64_t value = 0;
  for (auto limb = limbs_.rbegin(); limb != limbs_.rend(); ++limb) {
    const std::int64_t digit = negative_ ? -static_cast<std::int64_t>(*limb) : static_cast<std::int64_t>(*limb);
    if (__builtin_mul_overflow(value, static_cast<std::int64_t>(kBase), &value)) return std::nullopt;
    if (__builtin_add_overflow(value, digit, &value)) return std::nullopt;
  }
  return value;
}

double BigInteger::to_double() const { return std::strtod(to_string().c_str(), nullptr); }
long double BigInteger::to_long_double() const { return std::strtold(to_string().c_str(), nullptr); }

std::string BigInteger::to_string() const {
  if (limbs_.empty()) return "0";
  std::string out = negative_ ? "-" : "";
  out += std::to_string(limbs_.back());
  for (auto limb = limbs_.rbegin() + 1; limb != limbs_.rend(); ++limb) {
    const std::string digits = std::to_string(*limb);
    out += std::string(kLimbDigits - digits.size(), '0') + digits;
  }
  return out;
}

BigInteger BigInteger::operator-() const {
  BigInteger out = *this;
  out.negative_ = !negative_ && !limbs_.empty();
  return out;
}

std::strong_ordering BigInteger::compare(const Limbs& a, const Limbs& b) {
  if (a.size() != b.size()) return a.size() <=> b.size();
  return std::lexicographical_compare_three_way(a.rbegin(), a.rend(), b.rbegin(), b.rend());
}

BigInteger::Limbs BigInteger::add(const Limbs& a, const Limbs& b) {
  const Limbs& longer = a.size() < b.size() ? b : a;
  const Limbs& shorter = a.size() < b.size() ? a : b;
  Limbs out = longer;
  std::uint32_t carry = 0;
  for (std::size_t i = 0; i < out.size() && (carry > 0 || i < shorter.size()); ++i) {
    const std::uint32_t sum = out[i] + carry + (i < shorter.size() ? shorter[i] : 0);
    carry = sum >= kBase ? 1 : 0;
    out[i] = static_cast<std::uint32_t>(sum - carry * kBase);
  }
  if (carry > 0) out.push_back(carry);
  return out;
}

BigInteger::Limbs BigInteger::subtract(const Limbs& a, const Limbs& b) {
  Limbs out = a;
  std::int64_t borrow = 0;
  for (std::size_t i = 0; i < out.size() && (borrow > 0 || i < b.size()); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(out[i]) - borrow - (i < b.size() ? b[i] : 0);
    borrow = rest < 0 ? 1 : 0;
    if (rest < 0) rest += static_cast<std::int64_t>(kBase);
    out[i] = static_cast<std::uint32_t>(rest);
  }
  return out;
}

BigInteger operator+(const BigInteger& a, const BigInteger& b) {
  BigInteger out;
  if (a.negative_ == b.negative_) {
    out.limbs_ = BigInteger::add(a.limbs_, b.limbs_);
    out.negative_ = a.negative_;
  } else if (BigInteger::compare(a.limbs_, b.limbs_) >= 0) {
    out.limbs_ = BigInteger::subtract(a.limbs_, b.limbs_);
    out.negative_ = a.negative_;
  } else {
    out.limbs_ = BigInteger::subtract(b.limbs_, a.limbs_);
    out.negative_ = b.negative_;
  }
  out.trim();
  return out;
}

BigInteger operator*(const BigInteger& a, const BigInteger& b) {
  BigInteger out;
  out.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (std::size_t i = 0; i < a.limbs_.size(); ++i) {
    std::uint64_t carry = 0;
    for (std::size_t j = 0; j < b.limbs_.size() || carry > 0; ++j) {
      const std::uint64_t factor = j < b.limbs_.size() ? b.limbs_[j] : 0;
      const std::uint64_t sum = out.limbs_[i + j] + carry + std::uint64_t{a.limbs_[i]} * factor;
      out.limbs_[i + j] = static_cast<std::uint32_t>(sum % kBase);
      carry = sum / kBase;
    }
  }
  out.negative_ = a.negative_ != b.negative_;
  out.trim();
  return out;
}

// Knuth's algorithm D: each digit of the quotient is guessed from the leading digits, then corrected.
std::pair<BigInteger::Limbs, BigInteger::Limbs> BigInteger::divide(const Limbs& a, const Limbs& b) {
  if (b.size() == 1) {
    Limbs quotient(a.size(), 0);
    std::uint64_t rest = 0;
    for (std::size_t i = a.size(); i-- > 0;) {
      rest = rest * kBase + a[i];
      quotient[i] = static_cast<std::uint32_t>(rest / b[0]);
      rest %= b[0];
    }
    return std::make_pair(std::move(quotient), Limbs{static_cast<std::uint32_t>(rest)});
  }
  const auto scaled = [](const Limbs& limbs, std::uint64_t factor) {
    Limbs out;
    std::uint64_t carry = 0;
    for (const std::uint32_t limb : limbs) {
      carry += limb * factor;
      out.push_back(static_cast<std::uint32_t>(carry % kBase));
      carry /= kBase;
    }
    out.push_back(static_cast<std::uint32_t>(carry));
    return out;
  };
  const std::uint64_t scale = kBase / (b.back() + std::uint64_t{1});
  Limbs rest = scaled(a, scale), divisor = scaled(b, scale);
  divisor.pop_back();
  const std::size_t n = divisor.size();
  Limbs quotient(rest.size() - n, 0);
  for (std::size_t at = rest.size() - n; at-- > 0;) {
    const std::uint64_t head = rest[at + n] * kBase + rest[at + n - 1];
    std::uint64_t guess = head / divisor[n - 1], left = head % divisor[n - 1];
    while (guess >= kBase || guess * divisor[n - 2] > left * kBase + rest[at + n - 2]) {
      --guess;
      left += divisor[n - 1];
      if (left >= kBase) break;
    }
    std::int64_t borrow = 0;
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i <= n; ++i) {
      carry += i < n ? guess * divisor[i] : 0;
      std::int64_t difference =
          static_cast<std::int64_t>(rest[at + i]) - borrow - static_cast<std::int64_t>(carry % kBase);
      borrow = difference < 0 ? 1 : 0;
      if (difference < 0) difference += static_cast<std::int64_t>(kBase);
      rest[at + i] = static_cast<std::uint32_t>(difference);
      carry /= kBase;
    }
    if (borrow > 0) {  // the guess was one too large
      --guess;
      std::uint64_t more = 0;
      for (std::size_t i = 0; i <= n; ++i) {
        more += std::uint64_t{rest[at + i]} + (i < n ? divisor[i] : 0);
        rest[at + i] = static_cast<std::uint32_t>(more % kBase);
        more /= kBase;
      }
    }
    quotient[at] = static_cast<std::uint32_t>(guess);
  }
  // The remainder is scaled too.
  std::uint64_t carry = 0;
  for (std::size_t i = rest.size(); i-- > 0;) {
    carry = carry * kBase + rest[i];
    rest[i] = static_cast<std::uint32_t>(carry / scale);
    carry %= scale;
  }
  return {std::move(quotient), std::move(rest)};
}

std::pair<BigInteger, BigInteger> BigInteger::divide(const BigInteger& a, const BigInteger& b) {
  BigInteger quotient, rest;
  if (compare(a.limbs_, b.limbs_) < 0) {
    rest.limbs_ = a.limbs_;
  } else {
    std::tie(quotient.limbs_, rest.limbs_) = divide(a.limbs_, b.limbs_);
  }
  quotient.negative_ = a.negative_ != b.negative_;
  rest.negative_ = a.negative_;
  quotient.trim();
  rest.trim();
  if (!rest.limbs_.empty() && a.negative_ != b.negative_) {
    quotient = quotient - BigInteger(std::int64_t{1});
    rest = rest + b;
  }
  return {std::move(quotient), std::move(rest)};
}

std::strong_ordering BigInteger::operator<=>(const BigInteger& other) const {
  if (negative_ != other.negative_) return negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  return negative_ ? compare(other.limbs_, limbs_) : compare(limbs_, other.limbs_);
}

}  // namespace powerhouse::jinja
