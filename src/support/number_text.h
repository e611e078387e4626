// A number for a message or a table: "0.1", as printf's %g.
#pragma once

#include <cstdio>
#include <string>

namespace powerhouse {

inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace powerhouse
