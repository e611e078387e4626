// The ZIP container of torch.save: entries that are stored, not compressed, found through the central directory (ZIP64
// too). Own code because the entries are wanted where they lie in the mapped file, without a copy.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "support/mapped_file.h"

namespace powerhouse {

/// The bytes of every entry by its name. Error{format} for what is no ZIP file, or a broken one; Error{unsupported} for
/// compressed or encrypted entries.
std::map<std::string, std::span<const std::byte>> read_zip_directory(const std::shared_ptr<const MappedFile>& file);

}  // namespace powerhouse
