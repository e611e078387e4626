// A sequence of a session that ends with its handle.
#pragma once

#include <utility>

#include "powerhouse/session.h"

namespace powerhouse {

class OwnedSequence {
 public:
  static OwnedSequence create(Session& session) { return {session, session.create()}; }
  /// A sequence with the tokens of another; pages are shared.
  static OwnedSequence fork(Session& session, SequenceId of) { return {session, session.fork(of)}; }
  OwnedSequence(OwnedSequence&& other) noexcept : session_(std::exchange(other.session_, nullptr)), id_(other.id_) {}
  OwnedSequence& operator=(OwnedSequence&& other) noexcept {
    std::swap(session_, other.session_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~OwnedSequence() {
    if (session_ != nullptr) session_->remove(id_);
  }

  SequenceId id() const { return id_; }
  /// It no longer ends with the handle.
  SequenceId release() {
    session_ = nullptr;
    return id_;
  }

 private:
  OwnedSequence(Session& session, SequenceId id) : session_(&session), id_(id) {}
  Session* session_;
  SequenceId id_;
};

}  // namespace powerhouse
