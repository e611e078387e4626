// CRC-32C (Castagnoli, as in RFC 3720), for telling damaged files: eight tables, a word at a time, 2 GB/s.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse {

/// The checksum of bytes that follow those of checksum `crc`.
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc = 0) noexcept;

}  // namespace powerhouse
