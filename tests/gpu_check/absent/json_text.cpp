// In the place of src/support/json_text.cpp where there is no JSON library: the check on a GPU reads and writes none.
#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {

namespace {

[[noreturn]] void fail() { throw Error(ErrorKind::unsupported, "the check on a GPU is built without JSON"); }

}  // namespace

Json Json::parse(std::string_view, std::string_view) { fail(); }
std::string Json::dump(int) const { fail(); }

}  // namespace powerhouse
