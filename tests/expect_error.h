// Expects a powerhouse::Error of a kind, and that its text names what it should.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <string_view>

#include "powerhouse/error.h"

namespace powerhouse::testing {

template <typename Body>
void expect_error(ErrorKind kind, std::string_view mentions, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(mentions), std::string_view::npos)
        << "\"" << error.what() << "\" does not mention \"" << mentions << "\"";
    return;
  } catch (const std::exception& error) {
    FAIL() << "expected powerhouse::Error, got: " << error.what();
  }
  FAIL() << "expected Error{" << to_string(kind) << "} mentioning \"" << mentions << "\", nothing was thrown";
}

}  // namespace powerhouse::testing
