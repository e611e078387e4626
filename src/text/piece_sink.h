// PieceSink: a reference to whatever takes the pieces of a text, one by one. It owns nothing and allocates nothing: it
// lives as long as the call that it is passed to.
#pragma once

#include <memory>
#include <string_view>
#include <type_traits>

namespace powerhouse {

class PieceSink {
 public:
  template <typename Take>
  requires(!std::is_same_v<std::remove_cvref_t<Take>, PieceSink>)
      PieceSink(Take&& take)  // NOLINT(bugprone-forwarding-reference-overload): the requirement keeps copies out
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(take)))),
        call_([](void* object, std::string_view piece) {
          (*static_cast<std::remove_reference_t<Take>*>(object))(piece);
        }) {}

  void operator()(std::string_view piece) const { call_(object_, piece); }

 private:
  void* object_;
  void (*call_)(void*, std::string_view);
};

}  // namespace powerhouse
