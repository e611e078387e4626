// BigInteger: Python's integers beyond 64 bits, as far as templates can have use for them: ids and sums that must not
// be rounded. Sign and magnitude in base 10^9, so that printing and reading are plain; the size is bounded, since
// products and quotients are quadratic.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace powerhouse::jinja {

class BigInteger {
 public:
  /// Digits beyond which no number may grow; Python itself prints none of more than 4300.
  static constexpr std::size_t kMaxDigits = 9000;
  static constexpr std::size_t kMaxPrintedDigits = 4300;

  BigInteger() = default;
  explicit BigInteger(std::int64_t value);
  /// Decimal digits, perhaps after a '-'.
  explicit BigInteger(std::string_view digits);
  /// The whole part of a finite number.
  static BigInteger truncate(double value);

  bool negative() const { return negative_; }
  std::size_t limbs() const { return limbs_.size(); }
  std::size_t digits() const;
  /// The value where it has 64 bits.
  std::optional<std::int64_t> small() const;
  /// The nearest double; infinite where there is none.
  double to_double() const;
  long double to_long_double() const;
  std::string to_string() const;

  BigInteger operator-() const;
  friend BigInteger operator+(const BigInteger& a, const BigInteger& b);
  friend BigInteger operator-(const BigInteger& a, const BigInteger& b) { return a + -b; }
  friend BigInteger operator*(const BigInteger& a, const BigInteger& b);
  /// Quotient towards minus infinity, and the remainder, which has the divisor's sign. `b` is not zero.
  static std::pair<BigInteger, BigInteger> divide(const BigInteger& a, const BigInteger& b);
  std::strong_ordering operator<=>(const BigInteger& other) const;
  bool operator==(const BigInteger& other) const = default;

 private:
  using Limbs = std::vector<std::uint32_t>;
  static std::strong_ordering compare(const Limbs& a, const Limbs& b);
  static Limbs add(const Limbs& a, const Limbs& b);
  static Limbs subtract(const Limbs& a, const Limbs& b);  // a >= b
  static std::pair<Limbs, Limbs> divide(const Limbs& a, const Limbs& b);
  void trim();

  bool negative_ = false;
  Limbs limbs_;  // the lowest first; empty is zero
};

}  // namespace powerhouse::jinja
