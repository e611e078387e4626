// text % arguments
#pragma once

#include "text/jinja_value.h"

namespace powerhouse::jinja {

/// `arguments` is a tuple of values, a dict for %(name)s, or one value. Markup escapes what it takes in.
Value format_printf(Budget& budget, const Value& text, const Value& arguments);

}  // namespace powerhouse::jinja
