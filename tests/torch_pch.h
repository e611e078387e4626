// What every test that sees LibTorch uses.
#pragma once

#include "src/pch.h"
#include "tests/pch.h"
