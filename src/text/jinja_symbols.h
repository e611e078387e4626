// Resolves the names of a template to slots of frames, by the rules of jinja2's compiler.
//
// A loop body, macro, call block, filter block, set block and `with` are frames of their own; `if` is not. Whether a
// name is read from the render variables, copied from an outer frame or unset when a frame is entered depends on what
// comes first in the source, a read or an assignment; templates rely on it, so it is done the same way here.
#pragma once

#include "text/jinja_ast.h"

namespace powerhouse::jinja {

/// Fills every Place and Frame. Throws Error{format} for an assignment to `loop` inside a loop, and
/// Error{unsupported} for unknown filters and tests where jinja2 refuses to compile them.
void resolve_symbols(Template& parsed);

}  // namespace powerhouse::jinja
