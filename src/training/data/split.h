// What rows have in common: those that are held back, and those that are there twice. Works on hashes alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace powerhouse::training {

std::uint64_t hash_of(std::string_view content);

/// Which rows are held back: `size` below 1 is a share of them, from 1 on a number of usable ones. By their groups'
/// hashes and the seed, so that rows keep their side as files grow, and equal groups are on one side.
std::vector<bool> held_back(const std::vector<std::uint64_t>& groups, double size, std::uint64_t seed,
                            const std::function<bool(std::size_t row)>& usable);

/// The rows whose content an earlier row has.
std::vector<std::size_t> repeated_rows(const std::vector<std::uint64_t>& contents);

}  // namespace powerhouse::training
