#include "text/word_encoder.h"

#include <algorithm>

namespace powerhouse {

void WordEncoder::grow(std::size_t more) {
  constexpr std::size_t kFirst = 1024;
  const std::size_t wanted = std::max({kFirst, 2 * capacity_, size_ + more});
  auto larger = std::make_unique_for_overwrite<std::int64_t[]>(wanted);
  std::copy_n(ids_.get(), size_, larger.get());
  ids_ = std::move(larger);
  capacity_ = wanted;
}

void WordEncoder::append(std::span<const std::int64_t> ids) {
  reserve(ids.size());
  std::copy(ids.begin(), ids.end(), ids_.get() + size_);
  size_ += ids.size();
}

std::vector<std::int64_t> WordEncoder::take() {
  std::vector<std::int64_t> out(ids_.get(), ids_.get() + size_);
  size_ = 0;
  if (capacity_ > kKeptIds) {
    ids_.reset();
    capacity_ = 0;
  }
  return out;
}

void WordEncoder::add_words(const WordRule& rule, std::string_view text, const Bpe& bpe) {
  const auto encode = [&](std::string_view piece, std::vector<std::int64_t>& ids) { bpe.encode_bytes(piece, ids); };
  const std::size_t wide_end = text.size() < 16 ? 0 : text.size() - 15;  // before, 16 bytes of text can be read
  WordScanner words(rule, text);
  std::size_t begin = 0;
  for (auto ends = words.next(); !ends.empty(); ends = words.next()) {
    while (!ends.empty() && begin < wide_end) {
      const std::size_t count = add_group(text, begin, ends, wide_end, encode);
      begin = ends[count - 1];
      ends = ends.subspan(count);
    }
    for (const std::size_t end : ends) {
      add_piece(text.substr(begin, end - begin), encode);
      begin = end;
    }
  }
}

// A few words at a time, so that the memory that their look-ups miss is fetched for all at once.
template <typename Encode>
std::size_t WordEncoder::add_group(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                                   std::size_t wide_end, const Encode& encode) {
  constexpr std::size_t kGroup = 32;
  WordCache::Key keys[kGroup];
  std::uint64_t hashes[kGroup];
  std::size_t count = 0;
  for (std::size_t at = begin; count < kGroup && count < ends.size() && at < wide_end; at = ends[count++]) {
    const std::size_t size = ends[count] - at;
    keys[count] = size <= WordCache::kShort ? WordCache::key_of_16(text.data() + at, size)
                                            : cache_.key_of(text.substr(at, std::min(size, WordCache::kLongest)));
    hashes[count] = cache_.hash(keys[count]);
    cache_.prefetch(hashes[count]);
  }
  reserve(WordCache::kSlotIds * count);
  std::int64_t* out = ids_.get() + size_;
  for (std::size_t i = 0; i < count; begin = ends[i++]) {
    const WordCache::Slot* slot = cache_.find(keys[i], hashes[i]);
    if (slot != nullptr && slot->holds_ids()) {
      out += put(*slot, out);
      continue;
    }
    size_ = static_cast<std::size_t>(out - ids_.get());
    const std::string_view word = text.substr(begin, ends[i] - begin);
    word.size() > WordCache::kLongest ? add_new(word, encode) : add_rare(slot, word, encode);
    reserve(WordCache::kSlotIds * count);
    out = ids_.get() + size_;
  }
  size_ = static_cast<std::size_t>(out - ids_.get());
  return count;
}

WordEncoders::Lease::Lease(WordEncoders& owner, std::size_t number) : owner_(owner), number_(number) {
  const std::lock_guard lock(owner.mutex_);
  auto& idle = owner.idle_;
  if (number < idle.size()) encoder_ = std::move(idle[number]);
  for (std::size_t i = 0; i < idle.size() && !encoder_; ++i) encoder_ = std::move(idle[i]);
  if (encoder_) return;
  idle.reserve(idle.size() + 1);  // a place for each encoder, so that giving one back can't fail
  encoder_ = std::make_unique<WordEncoder>();
  idle.push_back(nullptr);
}

WordEncoders::Lease::~Lease() {
  encoder_->clear();
  const std::lock_guard lock(owner_.mutex_);
  auto& idle = owner_.idle_;
  auto place = std::find(idle.begin(), idle.end(), nullptr);
  if (number_ < idle.size() && !idle[number_]) place = idle.begin() + static_cast<std::ptrdiff_t>(number_);
  *place = std::move(encoder_);
}

}  // namespace powerhouse
