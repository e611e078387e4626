// llama.cpp's head over sequences in a GGUF file, as its rerankers over decoders have it (Qwen3): `cls.output` at the
// last token, names in classifier.output_labels, pooling type rank. The same file is a causal language model too.
#pragma once

#include <optional>

#include "formats/gguf_reader.h"
#include "powerhouse/sequence_head.h"

namespace powerhouse {

/// Nothing where the file has none. Error{unsupported} for a head of several layers or with a bias, and for one that
/// does not read the last token; Error{format} for labels that are not as many as its rows.
std::optional<SequenceHead> read_gguf_sequence_head(const GgufFile& file);

}  // namespace powerhouse
