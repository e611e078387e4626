#include "text/word_piece_trainer.h"

#include "text/bpe_trainer.h"

namespace powerhouse {

std::vector<std::string> train_word_piece(const WordCounts& counts, const WordPieceTrainerOptions& options) {
  BpeTrainerOptions bpe;
  bpe.vocab_size = options.vocab_size;
  bpe.min_frequency = options.min_frequency;
  bpe.special_tokens = options.special_tokens;
  bpe.limit_alphabet = options.limit_alphabet;
  bpe.initial_alphabet = options.initial_alphabet;
  bpe.continuing_subword_prefix = options.continuing_subword_prefix;
  bpe.end_of_word_suffix = options.end_of_word_suffix;
  return train_bpe(counts, bpe).vocabulary;
}

}  // namespace powerhouse
