#include "text/jinja_budget.h"

#include <algorithm>

namespace powerhouse::jinja {

void fail(std::string message) { throw Failure{ErrorKind::format, std::move(message)}; }
void fail(ErrorKind kind, std::string message) { throw Failure{kind, std::move(message)}; }

void Budget::exhausted_time() { fail(ErrorKind::range, "the template runs too long"); }
void Budget::exhausted_memory() { fail(ErrorKind::memory, "the template uses too much memory"); }

void TextBuilder::grow(std::size_t more) {
  // Doubling as std::string does, so that what is held is what is allocated.
  const std::size_t wanted = std::max({text_.size() + more, 2 * held_, std::size_t{64}});
  budget_.hold(wanted - held_);
  held_ = wanted;
  budget_.step_bytes(wanted);
  text_.reserve(wanted);
}

}  // namespace powerhouse::jinja
