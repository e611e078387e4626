// A teacher in a file: of every target token of a dataset the k most likely tokens that the teacher would have put
// there, made once. A student learns from it without the teacher in memory.
//
//     auto store = powerhouse::TeacherStore::make(teacher, data, "cache", {.top_k = 64});
//     powerhouse::Trainer(student, {.store = &store}, data.train(), data.validation(), method, options).train();
//
// The file is safetensors: ids int32 [targets, k], log_probs float32 [targets, k] at the temperature, in falling order,
// rest float32 [targets] (the log of what all other tokens have together), documents int64 [documents, 2] (a hash of a
// row's tokens and targets, in their order, and its first target), and about, JSON as bytes. 8 k + 4 bytes a target.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "powerhouse/causal_lm.h"
#include "powerhouse/dataset.h"
#include "powerhouse/export.h"

namespace powerhouse {

struct TeacherStoreOptions {
  std::int64_t top_k = 64;      ///< 1 to the vocabulary; more is the vocabulary
  double temperature = 1;       ///< that the student will learn at: DistillOptions::temperature
  std::int64_t batch_size = 1;  ///< rows a pass of the teacher
};

class POWERHOUSE_API TeacherStore {
 public:
  /// Finds or makes the store of a teacher and all rows of `data` (training and held-back) in a folder, in a file named
  /// by a hash of both and of the options. A file of this name that is damaged is made again, with a warning.
  /// Error{usage, range} for options and data without rows, Error{unsupported} for a teacher with adapters that are not
  /// merged, Error{io}.
  static TeacherStore make(const CausalLM& teacher, const Dataset& data, const std::string& folder,
                           const TeacherStoreOptions& options = {});
  /// Error{not_found}; Error{format} for a file that is none or damaged.
  static TeacherStore open(const std::string& path);

  TeacherStore(const TeacherStore&);
  TeacherStore(TeacherStore&&) noexcept;
  TeacherStore& operator=(const TeacherStore&);
  TeacherStore& operator=(TeacherStore&&) noexcept;
  ~TeacherStore();

  const std::string& path() const;
  std::int64_t top_k() const;
  double temperature() const;
  std::int64_t vocab_size() const;
  std::int64_t documents() const;
  std::int64_t targets() const;

  struct Impl;
  /// For the library's own rooms.
  const Impl& impl() const { return *impl_; }

 private:
  explicit TeacherStore(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
