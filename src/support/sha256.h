// SHA-256 (FIPS 180-4), for names that are hashes: not for secrets.
#pragma once

#include <string>
#include <string_view>

namespace powerhouse {

/// The digest in 64 hexadecimal digits.
std::string sha256(std::string_view bytes);

}  // namespace powerhouse
